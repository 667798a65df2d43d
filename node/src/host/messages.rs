//! What peers say: which of it reaches a core, and what is dropped before.

use super::backlog::is_full;
#[cfg(feature = "simulation")]
use super::mutant::RecoveryBug;
use super::replica::Replica;
use super::{Host, HostConfig, wire};
use doug_proto::ids::NodeId;
use doug_proto::v1;
use doug_raft::{Clock, ReplicaId, Time};

impl Host {
    pub(super) fn turn(&mut self, now: Time, from: NodeId, turn: v1::PeerTurn) {
        self.clocks.heard(now, from, Clock(turn.clock));
        for word in &turn.node_heartbeats {
            self.node_heartbeat(now, from, word);
        }
        for heartbeat in &turn.heartbeats {
            self.message(now, from, wire::unpack_heartbeat(heartbeat));
        }
        for answer in &turn.heartbeat_answers {
            self.message(now, from, wire::unpack_heartbeat_answer(answer));
        }
        for message in turn.messages {
            match wire::unpack(message) {
                Ok(unpacked) => self.message(now, from, unpacked),
                Err(error) => tracing::warn!(%from, %error, "a peer's message was dropped"),
            }
        }
    }

    /// A message counts only between the replicas it names. One for a replica that
    /// was removed from here finds nobody, and the sender must be where it belongs:
    /// see [`super::places`].
    fn message(
        &mut self,
        now: Time,
        from: NodeId,
        (route, message): (wire::Route, doug_raft::Message),
    ) {
        let Some(replica) = self.replicas.get_mut(&route.partition) else { return };
        if replica.key.replica != route.to.0 || replica.snapshot.is_some() {
            return;
        }
        if is_of_lost_group(&self.config, replica, route.from) {
            return;
        }
        if !replica.places.admit(&replica.descriptor, route.from, from) {
            return;
        }
        if let Some(bytes) = larger_batch(&message, self.config.largest_batch_bytes) {
            tracing::error!(
                %from, partition = route.partition, bytes,
                "a leader sends a batch that this node's log cannot hold: run the same version \
                 on all nodes, with log limits alike"
            );
            return;
        }
        // The leader sends it again. Its heartbeats pass, so it goes on leading.
        let carries_batches = carries_batches(&message);
        if carries_batches
            && (is_full(&self.config, &self.persisting, (self.applying, &replica.applying))
                || !self.uncommitted.takes_append(makes_longer(&message, replica)))
        {
            self.effects.dropped_appends += 1;
            return;
        }
        if !self.liveness.admits(from, route.partition, &message) {
            return;
        }
        self.clocks.show_to(now, replica);
        self.liveness.refresh_leader_heard(replica);
        replica.raft.step(now, route.from, message);
        if carries_batches {
            replica.recount_uncommitted(&mut self.uncommitted);
        }
        self.dirty.insert(route.partition);
    }

    /// The process on a node is gone.
    pub(super) fn suspect(&mut self, now: Time, node: NodeId) {
        self.forget_program(node);
        for (partition, replica) in &mut self.replicas {
            if let Some(peer) = replica.replica_on(node).filter(|_| replica.snapshot.is_none()) {
                replica.raft.suspect(now, peer);
                self.dirty.insert(*partition);
            }
        }
    }
}

/// Whether a message is of a group that was given up when this one began anew. Nobody listens to
/// it: it knows nothing of that, and its term may be the later one.
fn is_of_lost_group(config: &HostConfig, replica: &Replica, from: ReplicaId) -> bool {
    #[cfg(feature = "simulation")]
    if config.recovery_bug == Some(RecoveryBug::LostGroupHeard) {
        return false;
    }
    #[cfg(not(feature = "simulation"))]
    let _ = config;
    replica.descriptor.is_of_lost_group(from.0)
}

fn carries_batches(message: &doug_raft::Message) -> bool {
    matches!(message, doug_raft::Message::Append { batches, .. } if !batches.is_empty())
}

/// The size of a batch in a message that is larger than the log can bear.
fn larger_batch(message: &doug_raft::Message, most: u64) -> Option<u64> {
    let doug_raft::Message::Append { batches, .. } = message else { return None };
    batches.iter().map(doug_raft::Batch::size).find(|size| *size > most)
}

/// Whether an append begins at the log's end. One that begins before it replaces what is there,
/// or repeats it.
fn makes_longer(message: &doug_raft::Message, replica: &Replica) -> bool {
    matches!(message, doug_raft::Message::Append { prev_index, .. }
        if *prev_index >= replica.raft.last_index())
}
