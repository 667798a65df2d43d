//! A process's replicas that come and go: made for their leaders, let go of when their
//! groups have left them out, fenced and replaced when their files are damaged.

use super::admin::Control;
use super::death::Death;
use super::maintenance::Task;
use super::process::Process;
use crate::calls::{Call, Caller, Said};
use crate::checks::Violation;
use crate::context::Context;
use crate::events::NodeEvent;
use crate::time::{millis, seconds};
use doug_node::apply::ReplicaData;
use doug_node::host::{Event, LevelBug};
use doug_node::membership::WantedReplica;
use doug_node::membership::{check_newcomer, left_out, without};
use doug_node::replicas::{Newcomer, newcomer};
use doug_proto::error::Fault;
use doug_proto::ids::NodeId;
use doug_storage::{ReplicaKey, StorageError};
use std::sync::Arc;
use std::time::Duration;

/// Pause between looks for replicas left out, should the news be missed.
pub(super) const LOOK: Duration = seconds(5);
/// Pause between two tries to be replaced.
const REPLACE: Duration = millis(500);

impl Process {
    /// `Admin.CreateReplica`.
    pub(super) fn create_replica(
        &mut self,
        wanted: &WantedReplica,
        cx: &mut Context,
    ) -> Result<Result<(), Fault>, Death> {
        let Some(map) = self.map.clone() else {
            return Ok(Err(Fault::unavailable("this node is empty")));
        };
        let supports = match cx.plan.mutant.of_levels() {
            Some(LevelBug::OldProgramTakenIn) => u32::MAX,
            _ => self.hello.level,
        };
        if let Err(fault) = check_newcomer(self.id, supports, &map, wanted) {
            cx.coverage.hit("replica refused: its id is gone, or the program is too old");
            return Ok(Err(fault));
        }
        // It may say that an earlier replica on this node is gone.
        self.publish(&wanted.descriptor, cx)?;
        let (new, machine) = match newcomer(&map, wanted, self.store.replicas().into_keys()) {
            Ok(Newcomer::Known) => return Ok(Ok(())),
            Ok(Newcomer::New(new)) => *new,
            Err(fault) => return Ok(Err(fault)),
        };
        let key = new.key;
        if self.store.removed().contains(&key) {
            // The store refuses an id that has a tombstone.
            cx.coverage.hit("replica refused: its id has a tombstone");
            let refused = self.store.create_replica(&new).err().map(|error| error.to_string());
            return match refused {
                Some(why) => Ok(Err(Fault::unavailable(why))),
                None => Err(Violation::new(
                    "replica ids are used once",
                    format!("{} makes replica {key} again over its tombstone", self.name),
                )
                .into()),
            };
        }
        cx.checks.changing(self.id, key, true)?;
        let tree = self.store.create_replica(&new)?;
        cx.checks.changed(self.id, key, true);
        cx.coverage.hit("replica made for a leader");
        cx.trace.tell(cx.now, &format!("{} makes replica {key}", self.name));
        let descriptor = Box::new(machine.descriptor().clone());
        let partition = ReplicaData::new(key, tree, machine, new.applied);
        self.partitions.insert(key.partition, Arc::new(partition));
        let event = Event::Create { replica: key, descriptor, seed: cx.random.next() };
        self.post(self.host_of(key.partition), event, cx);
        Ok(Ok(()))
    }

    /// Begins to remove what the map has left out: the host lets go first.
    pub(super) fn remove_left_out(&mut self, cx: &mut Context) {
        let Some(map) = self.map.clone() else { return };
        for key in left_out(&map, self.store.replicas().into_keys()) {
            if self.leaving.insert(key) {
                let request = self.next_request();
                self.controls.insert(request, Control::Remove(key));
                let event = Event::Remove { request, replica: key };
                self.post(self.host_of(key.partition), event, cx);
            }
        }
    }

    /// The host has let go: nobody hears of the replica here any more.
    pub(super) fn let_go(&mut self, key: ReplicaKey, cx: &mut Context) {
        self.forget_partition(key, cx);
        self.enqueue(Task::Remove(key), cx);
    }

    fn forget_partition(&mut self, key: ReplicaKey, cx: &mut Context) {
        if self.partition(key).is_some() {
            self.partitions.remove(&key.partition);
            self.memtables.note(key, 0);
            self.wake_all(key.partition, cx);
        }
    }

    pub(super) fn remove(&mut self, key: ReplicaKey, cx: &mut Context) -> Result<(), Death> {
        cx.checks.changing(self.id, key, false)?;
        self.store.remove_replica(key)?;
        cx.checks.changed(self.id, key, false);
        cx.losses.removed(self.id, key);
        self.leaving.remove(&key);
        self.fenced.remove(&key);
        cx.coverage.hit("replica removed");
        cx.trace.tell(cx.now, &format!("{} has removed replica {key}", self.name));
        Ok(())
    }

    /// Takes a replica out of its group if `error` says that its tables are damaged.
    pub fn leave_if_damaged(
        &mut self,
        key: ReplicaKey,
        error: StorageError,
        cx: &mut Context,
    ) -> Result<(), Death> {
        let fenced = match self.store.fence_if_damaged(key, error) {
            fenced @ StorageError::Fenced { .. } => fenced,
            other => return Err(other.into()),
        };
        note_fenced(&self.name, (self.id, key), &fenced, cx)?;
        self.fenced.insert(key);
        self.forget_partition(key, cx);
        let request = self.next_request();
        self.post(self.host_of(key.partition), Event::Remove { request, replica: key }, cx);
        Ok(())
    }

    /// Asks the groups of damaged replicas for successors, for ever.
    pub(super) fn replace_damaged(&mut self, cx: &mut Context) {
        self.schedule(REPLACE, NodeEvent::ReplaceDamaged, cx);
        let Some(map) = self.map.clone() else { return };
        // Once a round: counted for each replica, two of them would ask the same two nodes for
        // ever.
        self.replacing_turn += 1;
        for key in self.fenced.clone() {
            let Some(descriptor) = map.partition(key.partition) else { continue };
            let Some(goal) = without(descriptor, key.replica) else { continue };
            let mut others: Vec<NodeId> = descriptor.members().map(|member| member.node).collect();
            others.retain(|node| *node != self.id);
            let Some(to) = others.get(self.replacing_turn % others.len().max(1)) else { continue };
            cx.coverage.hit("successor of a damaged replica asked for");
            cx.losses.asked(cx.now, key.partition, goal.clone());
            let (partition, generation) = (key.partition, descriptor.generation);
            let call = Call::ChangeMembers { partition, goal, generation };
            cx.call(self.index, *to, Caller::Node, call);
        }
    }
}

/// A replica is fenced. That breaks a promise unless files of its node were damaged.
pub(super) fn note_fenced(
    name: &str,
    (node, key): (NodeId, ReplicaKey),
    error: &StorageError,
    cx: &mut Context,
) -> Result<(), Death> {
    if !cx.losses.was_damaged(node) {
        let what = format!("{name} finds replica {key} damaged: {error}");
        return Err(Violation::new("nodes keep running", what).into());
    }
    cx.losses.fence(node, key);
    cx.coverage.hit("replica fenced");
    if error.to_string().contains("could not read it") {
        cx.coverage.hit("replica fenced: a sector did not read");
    }
    cx.trace.tell(cx.now, &format!("{name} fences replica {key}: {error}"));
    Ok(())
}

/// A refusal in words.
pub(super) fn refused(fault: &Fault) -> Said {
    let leader = fault.leader_hint().and_then(|hint| hint.leader_node.parse().ok());
    Said::Refused { leader, why: fault.message.clone() }
}
