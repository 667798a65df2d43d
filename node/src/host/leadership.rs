//! Leaderships: spread over the nodes, handed over on a stop or when told.

use super::Host;
use super::balance::{self, LedPartition};
use super::faults::{not_here, not_leader, transfer_expired, transfer_refused};
use super::members::preferred;
use super::replica::{AwaitedTransfer, Replica};
use crate::work::RequestId;
use doug_proto::error::Fault;
use doug_proto::ids::NodeId;
use doug_raft::{PeerStatus, ReplicaId, Time, TransferError};

impl Host {
    pub(super) fn balance(&mut self, now: Time) {
        if self.draining {
            self.hand_over(now);
            return;
        }
        for partition in self.led.intersection(&self.ticking) {
            let Some(replica) = self.replicas.get_mut(partition) else { continue };
            let Some(preferred) = preferred(&replica.descriptor) else { continue };
            let peers = replica.raft.peers();
            let led = LedPartition {
                since: replica.since,
                last_index: replica.raft.last_index(),
                preferred,
                peers: &peers,
                hand_overs: &replica.hand_overs,
            };
            let own = replica.raft.id();
            if let Some(to) = balance::hand_over_to_preferred(own, now, led)
                && replica.hand_over(now, to).is_ok()
            {
                self.dirty.insert(*partition);
            }
        }
    }

    pub(super) fn hand_over(&mut self, now: Time) {
        for partition in &self.led {
            let Some(replica) = self.replicas.get_mut(partition) else { continue };
            if replica.raft.transferring_to().is_none()
                && let Some(to) = balance::best_successor(&successors(replica), &replica.hand_overs)
                && replica.hand_over(now, to).is_ok()
            {
                self.dirty.insert(*partition);
            }
        }
    }

    pub(super) fn transfer(
        &mut self,
        now: Time,
        request: RequestId,
        partition: u64,
        to: Option<NodeId>,
        deadline: Time,
    ) {
        let result = self.start_transfer(now, request, partition, to, deadline);
        if let Err(fault) = result {
            self.effects.replies.push((request, Err(fault)));
        }
    }

    fn start_transfer(
        &mut self,
        now: Time,
        request: RequestId,
        partition: u64,
        to: Option<NodeId>,
        deadline: Time,
    ) -> Result<(), Fault> {
        let node = self.config.node;
        let replica = self.replicas.get_mut(&partition).ok_or_else(|| not_here(node, partition))?;
        if !replica.leads() {
            return Err(not_leader(replica));
        }
        let target = match to {
            Some(node) => replica.replica_on(node).ok_or_else(|| {
                Fault::invalid(format!("node {node} holds no voter of partition {partition}"))
            })?,
            None => balance::best_successor(&successors(replica), &replica.hand_overs).ok_or_else(
                || {
                    Fault::unavailable(format!(
                        "no other voter of partition {partition} is in touch: nobody can take over"
                    ))
                },
            )?,
        };
        let from_term = replica.raft.term();
        replica.hand_over(now, target).map_err(|error| transfer_refused(&error))?;
        if let Some(earlier) = replica.transfer.take() {
            self.effects.replies.push((earlier.request, Err(transfer_expired(partition))));
        }
        replica.transfer = Some(AwaitedTransfer { request, deadline, from_term });
        self.dirty.insert(partition);
        Ok(())
    }
}

impl Replica {
    /// Begins a hand-over, unless one to the same target is under way.
    ///
    /// # Errors
    /// As [`Raft::transfer`](doug_raft::Raft::transfer).
    fn hand_over(&mut self, now: Time, to: ReplicaId) -> Result<(), TransferError> {
        let under_way = self.raft.transferring_to() == Some(to);
        self.raft.transfer(now, to)?;
        if !under_way {
            let configuration = self.raft.configuration();
            self.hand_overs.retain(|id| configuration.is_voter(id));
            self.hand_overs.begun(now, to);
        }
        Ok(())
    }
}

/// Who may lead for long: nobody that is being left behind.
fn successors(replica: &Replica) -> Vec<PeerStatus> {
    let voters = &replica.raft.configuration().voters;
    replica.raft.peers().into_iter().filter(|peer| voters.contains(&peer.id)).collect()
}
