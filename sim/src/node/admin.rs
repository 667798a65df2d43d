//! A process's Admin service, and what serves its map.

use super::death::Death;
use super::members::refused;
use super::process::Process;
use crate::calls::{Call, Caller, Said};
use crate::context::Context;
use crate::events::NodeEvent;
use crate::mutants::Mutant;
use crate::time::{micros, millis};
use doug_node::catalog;
use doug_node::host::{Event, Reply};
use doug_node::membership::refusal;
use doug_node::work::RequestId;
use doug_proto::error::Fault;
use doug_proto::map::{Goal, PartitionMap};
use doug_storage::ReplicaKey;
use doug_storage::manifest::Identity;
use doug_storage::tree::ReadError;
use std::sync::Arc;
use std::time::Duration;

/// How long a host tries to take up a goal.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a host was asked beside what clients ask, and for whom.
#[derive(Clone, Copy, Debug)]
pub(super) enum Control {
    /// To take up a goal.
    Goal(Caller),
    /// To let go of a replica.
    Remove(ReplicaKey),
}

impl Process {
    pub(super) fn called(
        &mut self,
        caller: Caller,
        call: Call,
        cx: &mut Context,
    ) -> Result<(), Death> {
        let said = match call {
            Call::Join(map) => {
                self.join(map, cx)?;
                Said::Done
            }
            Call::UpdateAddresses { epoch, nodes, clusters } => {
                let Some(known) = self.map.clone() else { return Ok(()) };
                if let Some(update) = self.held.set_entries(&known, epoch, nodes, clusters) {
                    self.replace_map(update, cx)?;
                }
                Said::Done
            }
            Call::CreateReplica(wanted) => match self.create_replica(&wanted, cx)? {
                Ok(()) => Said::Done,
                Err(fault) => {
                    cx.trace.detail(cx.now, || format!("{} makes none: {fault:?}", self.name));
                    refused(&fault)
                }
            },
            Call::ChangeMembers { partition, goal, generation } => {
                let checked = self.check_goal(partition, &goal);
                let may = match checked {
                    Ok(()) => self.check_catalog(partition, cx)?,
                    refused => refused,
                };
                match may {
                    Err(fault) => refused(&fault),
                    Ok(()) => {
                        let request = self.next_request();
                        self.controls.insert(request, Control::Goal(caller));
                        let deadline = self.clock.local(cx.now).after(PATIENCE);
                        let event =
                            Event::ChangeMembers { request, partition, goal, generation, deadline };
                        self.post(self.host_of(partition), event, cx);
                        return Ok(());
                    }
                }
            }
            Call::Map => match &self.map {
                Some(map) => Said::Map(map.clone()),
                None => return Ok(()),
            },
        };
        cx.say(self.index, caller, said);
        Ok(())
    }

    fn check_catalog(
        &mut self,
        partition: u64,
        cx: &mut Context,
    ) -> Result<Result<(), Fault>, Death> {
        let held = self.partitions().get(&partition).filter(|_| partition == catalog::PARTITION);
        let Some(replica) = held.filter(|_| cx.plan.mutant != Mutant::CatalogMovesBare) else {
            return Ok(Ok(()));
        };
        let key = replica.key();
        match catalog::must_stay(replica) {
            Ok(None) => Ok(Ok(())),
            Ok(Some(fault)) => {
                cx.coverage.hit("catalog kept until it has its creation document");
                Ok(Err(fault))
            }
            Err(ReadError::Storage(error)) => {
                let fault = Fault::unavailable(error.to_string());
                if !error.is_out_of_descriptors() {
                    self.leave_if_damaged(key, error, cx)?;
                }
                Ok(Err(fault))
            }
            Err(error) => Ok(Err(Fault::unavailable(error.to_string()))),
        }
    }

    fn check_goal(&self, partition: u64, goal: &Goal) -> Result<(), Fault> {
        let Some(map) = &self.map else { return Err(Fault::unavailable("this node is empty")) };
        refusal(partition, goal, map).map_or(Ok(()), Err)
    }

    /// `Admin.Join`.
    fn join(&mut self, map: Arc<PartitionMap>, cx: &mut Context) -> Result<(), Death> {
        if self.map.is_some() {
            return self.merge_map(&map, cx);
        }
        let identity = Identity { node: self.id.bits(), database: Some(map.database.bits()) };
        self.store.join(identity, map.to_stored())?;
        cx.checks.map_stored(self.id, &map)?;
        cx.coverage.hit("node joined");
        cx.trace.tell(cx.now, &format!("{} joins the database as {}", self.name, self.id));
        self.hold_map(map);
        Ok(())
    }

    /// A host's answer to something else than a client asked; returns whether it was that.
    pub(super) fn controlled(
        &mut self,
        request: RequestId,
        reply: &Result<Reply, Fault>,
        cx: &mut Context,
    ) -> bool {
        match self.controls.remove(&request) {
            None => return false,
            Some(Control::Remove(key)) => {
                // A busy machine lets whoever waits for this word wait longer.
                let most = if cx.random.chance(200) { millis(20) } else { micros(300) };
                let delay = cx.random.duration_below(most);
                self.schedule(delay, NodeEvent::LetGo(key), cx);
            }
            Some(Control::Goal(caller)) => {
                let said = match reply {
                    Ok(Reply::Goal(descriptor)) => Said::Goal(descriptor.clone()),
                    Ok(_) => Said::Done,
                    Err(fault) => refused(fault),
                };
                cx.say(self.index, caller, said);
            }
        }
        true
    }
}
