//! One replica: its consensus core, and who waits for what.

use super::backlog::Applying;
use super::balance::HandOvers;
use super::effects::Reply;
use super::expiry::ReplicaExpiry;
use super::goals::AwaitedGoal;
use super::pending::Pending;
use super::places::Places;
use super::queue::{Taken, WriteQueue};
use super::quiesce::Indexes;
use super::reads::Reads;
use super::recovery::AwaitedRecovery;
use super::replay::{Replay, Replayed};
use super::retention::Retention;
use super::snapshots::IncomingSnapshot;
use super::uncommitted::Uncommitted;
use crate::work::{ApplyBatch, ApplyWork, RequestId};
use doug_proto::error::Fault;
use doug_proto::ids::NodeId;
use doug_proto::map::Partition;
use doug_proto::v1;
use doug_raft::{Batch, Index, ProposeError, Raft, ReplicaId, Role, Term, Time};
use doug_storage::ReplicaKey;

/// Batches of one replica that may wait for their commit before writes gather.
const OPEN_BATCHES: usize = 2;

/// A hand-over that Admin waits for.
#[derive(Debug)]
pub(super) struct AwaitedTransfer {
    pub request: RequestId,
    pub deadline: Time,
    pub from_term: u64,
}

impl AwaitedTransfer {
    /// Whether the core has given the hand-over up: the target did not take over within the
    /// longest election timeout. Whoever asked hears so at once, not at its deadline, and may try
    /// again while there is time.
    pub(super) fn given_up(&self, raft: &Raft) -> bool {
        raft.term() == self.from_term && raft.transferring_to().is_none()
    }
}

/// One replica of one partition on this node.
#[derive(Debug)]
pub(super) struct Replica {
    pub key: ReplicaKey,
    pub raft: Raft,
    pub descriptor: Partition,
    pub queue: WriteQueue,
    pub pending: Pending,
    pub applying: Applying,
    pub reads: Reads,
    pub retention: Retention,
    pub applied: Index,
    /// When it was last shown the nodes' wall clocks.
    pub clocks_seen: Time,
    /// Whom it follows, itself if it leads; since when, see `since`.
    pub follows: Option<ReplicaId>,
    /// Since when it has had its present leader, or none.
    pub since: Time,
    pub hand_overs: HandOvers,
    /// Whether it has caught up with a leader once since the process started.
    pub caught_up: bool,
    pub transfer: Option<AwaitedTransfer>,
    pub snapshot: Option<IncomingSnapshot>,
    pub places: Places,
    /// Until it has found its former state again it serves nothing.
    pub replay: Option<Replay>,
    /// A goal that Admin waits for.
    pub goal: Option<AwaitedGoal>,
    /// A recovery that Admin waits for.
    pub recovery: Option<AwaitedRecovery>,
    pub feature_level: u32,
    /// The level that was last proposed here, and in which term.
    pub raised: Option<(Term, u32)>,
    /// The command of its own that it proposed last, and in which term.
    pub proposed_own: Option<(Term, Index)>,
    pub expiry: ReplicaExpiry,
    /// When something that is repeated for the members was last done.
    pub nudged: Time,
    /// Before this it is not asked to quiesce.
    pub next_quiesce: Time,
    /// In which sets of its host it is.
    pub indexed: Indexes,
    /// Bytes without a majority that its host counts for it.
    pub uncommitted: u64,
    /// Bytes that wait to be applied, as its host counts them.
    pub applying_counted: u64,
}

impl Replica {
    pub(super) fn new(
        key: ReplicaKey,
        raft: Raft,
        descriptor: Partition,
        applied: Index,
        feature_level: u32,
        now: Time,
    ) -> Self {
        let replay = Some(Replay::new(&raft, now));
        Self {
            key,
            raft,
            descriptor,
            queue: WriteQueue::default(),
            pending: Pending::default(),
            applying: Applying::default(),
            reads: Reads::default(),
            retention: Retention::new(applied),
            applied,
            clocks_seen: Time(0),
            follows: None,
            since: now,
            hand_overs: HandOvers::default(),
            caught_up: false,
            transfer: None,
            snapshot: None,
            places: Places::default(),
            replay,
            goal: None,
            recovery: None,
            feature_level,
            raised: None,
            proposed_own: None,
            expiry: ReplicaExpiry::default(),
            nudged: Time(0),
            next_quiesce: Time(0),
            indexed: Indexes::default(),
            uncommitted: 0,
            applying_counted: 0,
        }
    }

    /// Has its host count what it holds without a majority now.
    pub(super) fn recount_uncommitted(&mut self, of_host: &mut Uncommitted) {
        of_host.recount(&mut self.uncommitted, self.raft.uncommitted_bytes());
    }

    /// Has its host count what waits to be applied to it now.
    pub(super) fn recount_applying(&mut self, of_host: &mut u64) {
        *of_host = *of_host - self.applying_counted + self.applying.bytes();
        self.applying_counted = self.applying.bytes();
    }

    pub(super) fn leads(&self) -> bool {
        self.raft.role() == Role::Leader
    }

    /// Whether the end of a turn in which nothing but time passed has nothing to do here.
    pub(super) fn is_idle(&self) -> bool {
        !self.raft.has_effects()
            && self.queue.is_empty()
            && self.reads.is_empty()
            && self.snapshot.is_none()
            && self.replay.is_none()
    }

    /// Whether nothing here waits for anything, not even for its deadline.
    pub(super) fn is_at_rest(&self) -> bool {
        !self.has_requests()
            && self.pending.batches() == 0
            && !self.applying.has_waiting()
            && self.snapshot.is_none()
            && self.goal.is_none()
            && self.recovery.is_none()
            && self.transfer.is_none()
            && self.caught_up
            && self.replay.is_none()
    }

    /// Whether clients wait for a leader here.
    pub(super) fn has_requests(&self) -> bool {
        !self.queue.is_empty() || !self.reads.is_empty()
    }

    pub(super) fn node_of(&self, replica: ReplicaId) -> Option<NodeId> {
        self.places.node_of(&self.descriptor, replica)
    }

    pub(super) fn replica_on(&self, node: NodeId) -> Option<ReplicaId> {
        let mut members = self.descriptor.members();
        members.find(|member| member.node == node).map(|member| ReplicaId(member.replica))
    }

    /// Takes over the descriptor of the membership in force, which changes with
    /// every configuration that enters the log or is cut from it. Says whether it did.
    pub(super) fn follow_membership(&mut self) -> bool {
        let context = &self.raft.membership().context;
        let Some(descriptor) = self.places.changed(context) else { return false };
        let former = std::mem::replace(&mut self.descriptor, descriptor);
        self.places.remember(former);
        true
    }

    /// The reads of clients that have seen what may be lost since the group began anew: to serve
    /// them once the new group's indexes have passed theirs would be a lie.
    pub(super) fn refuse_lost_reads(&mut self) -> Vec<(RequestId, Result<Reply, Fault>)> {
        let descriptor = &self.descriptor;
        if descriptor.recoveries.is_empty() {
            return Vec::new();
        }
        let refused = self.reads.refuse(|index| descriptor.lost_revision(index));
        refused.into_iter().map(|(request, fault)| (request, Err(fault))).collect()
    }

    pub(super) fn leader_node(&self) -> Option<NodeId> {
        self.raft.leader().and_then(|leader| self.node_of(leader))
    }

    /// Takes committed batches: what is to be applied, and the requests whose
    /// writes lost their place in the log for good.
    pub(super) fn commit(&mut self, batches: Vec<Batch>) -> (ApplyWork, Vec<RequestId>) {
        let mut lost = Vec::new();
        let batches = batches
            .into_iter()
            .map(|batch| {
                self.retention.applied(&batch);
                let resolved = self.pending.resolve(&batch);
                lost.extend(resolved.overwritten);
                let waiting = resolved.applied.iter().map(|(request, _)| *request).collect();
                self.applying.give(batch.last(), batch.size(), resolved.applied);
                ApplyBatch { batch, waiting }
            })
            .collect();
        (ApplyWork { replica: self.key, batches }, lost)
    }

    /// Proposes queued writes, in batches of at most `batch_bytes` where commands
    /// are smaller than that. Returns those that were refused.
    ///
    /// Each batch costs a record, a message to every peer and an answer, so while
    /// [`OPEN_BATCHES`] of them wait for their commit, writes gather for the next,
    /// unless they fill one already. They wait, too, once more than `room` bytes would be
    /// proposed: 0 where nothing may be.
    pub(super) fn propose_queued(
        &mut self,
        now: Time,
        batch_bytes: usize,
        room: u64,
    ) -> Vec<(RequestId, ProposeError)> {
        let (mut refused, mut proposed) = (Vec::new(), 0);
        // While the leadership is handed over, writes wait: either the next leader
        // is named to their senders, or they are proposed here after all.
        while !self.queue.is_empty() && self.raft.transferring_to().is_none() {
            let crowded = self.pending.batches() >= OPEN_BATCHES;
            let no_room = proposed >= room;
            if self.leads() && (no_room || crowded && self.queue.bytes() < batch_bytes) {
                break;
            }
            let Taken { commands, requests, seen } = self.queue.take(batch_bytes);
            proposed += commands.iter().map(|command| command.len() as u64).sum::<u64>();
            match self.raft.propose_after(now, seen, &commands) {
                Ok(at) => self.pending.insert(at.term, at.base, requests),
                Err(error) => {
                    refused.extend(requests.into_iter().map(|(request, _)| (request, error)));
                }
            }
        }
        refused
    }

    /// Whether the replica holds everything its group had committed when it
    /// first heard its leader: then the commit is of the leader's own term.
    pub(super) fn note_caught_up(&mut self) {
        if self.caught_up || self.raft.leader().is_none() {
            return;
        }
        let commit = self.raft.commit();
        self.caught_up = self.applied >= commit
            && commit > 0
            && self.raft.term_at(commit) == Some(self.raft.term());
    }

    /// Whether it may serve from now on.
    pub(super) fn note_replayed(&mut self, now: Time) -> Option<Replayed> {
        let (applied, caught_up) = (self.applied, self.caught_up);
        let replayed = self.replay.as_mut()?.ended(&self.raft, applied, caught_up, now)?;
        self.replay = None;
        Some(replayed)
    }

    /// `is_live` says of a node whether it is heard: while the partition is quiesced, nothing
    /// else tells whether its peers are active.
    pub(super) fn status(&self, now: Time, is_live: impl Fn(NodeId) -> bool) -> v1::ReplicaStatus {
        let role = match self.raft.role() {
            Role::Leader => v1::ReplicaRole::Leader,
            Role::Candidate | Role::PreCandidate => v1::ReplicaRole::Candidate,
            Role::Follower if self.raft.configuration().is_learner(self.raft.id()) => {
                v1::ReplicaRole::Learner
            }
            Role::Follower => v1::ReplicaRole::Follower,
        };
        v1::ReplicaStatus {
            partition: self.key.partition,
            replica: self.key.replica,
            role: role.into(),
            term: self.raft.term(),
            leader: self.leader_node().map(|node| node.to_string()).unwrap_or_default(),
            last_index: self.raft.last_index(),
            commit: self.raft.commit(),
            applied: self.applied,
            since_milliseconds: now.since(self.since).as_millis() as u64,
            peers: if self.leads() { self.peers(is_live) } else { Vec::new() },
            bytes: 0,
            descriptor: Some(self.descriptor.to_wire()),
            damage: String::new(),
            feature_level: self.feature_level,
            quiesced: self.raft.is_quiesced(),
            ambiguous_tail: self.raft.has_ambiguous_tail(),
            // The replica's data know these, and the host does not: see `services::status`.
            served: None,
            estimated_keys: 0,
            last_term: self.raft.log_end().0,
        }
    }

    fn peers(&self, is_live: impl Fn(NodeId) -> bool) -> Vec<v1::PeerProgress> {
        let (peers, quiesced) = (self.raft.peers(), self.raft.is_quiesced());
        let progress = peers.iter().filter_map(|peer| {
            let node = self.node_of(peer.id)?;
            Some(v1::PeerProgress {
                node: node.to_string(),
                match_index: peer.matched,
                active: if quiesced { is_live(node) } else { peer.recently_active },
            })
        });
        progress.collect()
    }
}

/// Why a write was refused before it was proposed: it never is executed.
pub(super) fn refusal(error: ProposeError, not_leader: impl FnOnce() -> Fault) -> Fault {
    match error {
        ProposeError::NotLeader { .. } => not_leader(),
        ProposeError::TransferInProgress { .. } => Fault::unavailable(error.to_string()),
        ProposeError::TooManyUncommitted { .. } => Fault::exhausted(error.to_string()),
    }
}
