//! Quiescence: an idle partition costs nothing. Its replicas agree to send no heartbeats and to run
//! no election timers; only their nodes go on telling each other that they are live
//! (docs/consensus.md, "Quiesced partitions").
//!
//! Nothing here decides what is committed or who may lead. Quiescence only stops timers and
//! heartbeats, so what it puts at risk is liveness: a replica that is quiesced without a leader.
//! The invariant against it: a quiesced replica has agreed to one leader's proposal, made in one
//! heartbeat round of one term, and its host unquiesces it when that leader's liveness epoch
//! changes or expires.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use crate::ids::{Index, ReplicaId};
use crate::message::Message;
use crate::mutant::mutant;
use crate::progress::ProgressState;
use crate::raft::{Raft, Role};
use crate::time::Time;

/// What stands for a quiesced leader's heartbeats: one process of its node, for as long as it keeps
/// the replicas it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LivenessEpoch {
    /// Random number of the process.
    pub incarnation: u64,
    /// How many replicas it has removed that others may have quiesced under.
    pub epoch: u64,
}

/// Why a replica is quiesced no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnquiesceCause {
    /// A proposal, a read, a hand-over or a campaign was asked for here.
    Request,
    /// A replica of the group sent what ends quiescence.
    Message,
    /// The leader's node fell silent; or, at the leader, so many nodes that no quorum is left.
    Silence,
    /// The liveness epoch of a peer's node changed: another process, or one that removed replicas.
    Restart,
    /// The host saw the leader's process go.
    Suspicion,
}

impl UnquiesceCause {
    /// All of them.
    pub const ALL: [UnquiesceCause; 5] = [
        UnquiesceCause::Request,
        UnquiesceCause::Message,
        UnquiesceCause::Silence,
        UnquiesceCause::Restart,
        UnquiesceCause::Suspicion,
    ];

    /// Its name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            UnquiesceCause::Request => "request",
            UnquiesceCause::Message => "message",
            UnquiesceCause::Silence => "silence",
            UnquiesceCause::Restart => "restart",
            UnquiesceCause::Suspicion => "suspicion",
        }
    }
}

impl fmt::Display for UnquiesceCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Quiescence {
    quiesced: Option<QuiescedUnder>,
    /// The leader's own proposal to quiesce, until all voters have agreed or it is withdrawn.
    proposal: Option<QuiesceProposal>,
    /// The last proposal's round, and the peers that may be quiesced because of it: those that
    /// have answered no later round.
    maybe_quiesced: (u64, BTreeSet<ReplicaId>),
    /// The greatest round heard in this term: a proposal of an older one comes late.
    heard_round: u64,
    /// When something other than heartbeats last happened at this leader.
    active_at: Time,
}

impl Quiescence {
    /// Whether the leader's proposal to quiesce waits for answers.
    pub(crate) fn has_proposed(&self) -> bool {
        self.proposal.is_some()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct QuiescedUnder {
    round: u64,
    liveness: LivenessEpoch,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct QuiesceProposal {
    round: u64,
    liveness: LivenessEpoch,
    agreed: BTreeSet<ReplicaId>,
}

impl Raft {
    /// Whether it is quiesced: then it needs no [`tick`](Raft::tick) until it unquiesces.
    #[must_use]
    pub fn is_quiesced(&self) -> bool {
        self.quiescence.quiesced.is_some()
    }

    /// The liveness of the leader it quiesced under; `None` if it is not quiesced. A leader
    /// quiesces under its own.
    #[must_use]
    pub fn quiesced_under(&self) -> Option<LivenessEpoch> {
        self.quiescence.quiesced.map(|quiesced| quiesced.liveness)
    }

    /// Whether others may have quiesced at this replica's proposal in this term, and not been heard
    /// since. A host that removes such a replica must raise the epoch of its [`LivenessEpoch`].
    #[must_use]
    pub fn may_have_quiesced_followers(&self) -> bool {
        !self.quiescence.maybe_quiesced.1.is_empty()
    }

    /// Since when nothing but heartbeats has happened here; `None` unless it leads and is not
    /// quiesced.
    #[must_use]
    pub fn idle_since(&self) -> Option<Time> {
        (self.role == Role::Leader && !self.is_quiesced()).then_some(self.quiescence.active_at)
    }

    /// Asks every voter to quiesce, if this leader has nothing left to do or to tell; says whether
    /// it asked. It quiesces once all have agreed, and goes on with heartbeats if one does not
    /// answer before the next is due. To be called only while the nodes of all voters are live, for
    /// otherwise nobody would notice that one of them dies.
    pub fn propose_quiesce(&mut self, now: Time, liveness: LivenessEpoch) -> bool {
        self.advance_clock(now);
        // A heartbeat goes between two proposals: its answers say what keeps a voter from agreeing.
        let just_asked = self.lead.round > 0 && self.lead.round == self.quiescence.maybe_quiesced.0;
        if self.is_quiesced() || just_asked || !self.is_at_rest() {
            return false;
        }
        self.lead.round += 1;
        self.lead.heartbeat_at = self.now.after(self.config.heartbeat_interval);
        let (round, peers) = (self.lead.round, self.peer_ids());
        for &peer in &peers {
            let (term, commit) = (self.term, self.commit);
            self.send(peer, Message::Quiesce { term, commit, round, liveness });
        }
        self.quiescence.maybe_quiesced = (round, peers.into_iter().collect());
        self.quiescence.proposal =
            Some(QuiesceProposal { round, liveness, agreed: BTreeSet::new() });
        self.quiesce_if_agreed();
        true
    }

    /// Ends quiescence, if it is quiesced: a leader sends heartbeats from its next tick on,
    /// another's election timer begins anew.
    pub fn unquiesce(&mut self, now: Time, cause: UnquiesceCause) {
        self.advance_clock(now);
        self.unquiesce_for(cause);
    }

    /// The leader's node has this liveness now. A follower that quiesced under another unquiesces.
    pub fn leader_liveness_seen(&mut self, now: Time, liveness: LivenessEpoch) {
        let other = self.quiescence.quiesced.is_some_and(|quiesced| quiesced.liveness != liveness);
        if self.role != Role::Leader && other && !mutant!(self.config, IncarnationIgnored) {
            self.unquiesce(now, UnquiesceCause::Restart);
        }
    }

    /// The leader's node was last heard then, which counts as hearing a quiesced leader. To be
    /// called before a quiesced follower takes a message: otherwise it would help others depose a
    /// leader that is well.
    pub fn leader_heard(&mut self, then: Time) {
        if self.is_quiesced() && self.role == Role::Follower {
            self.election.heard = self.election.heard.max(then);
        }
    }

    pub(crate) fn note_activity(&mut self) {
        self.quiescence.active_at = self.now;
        self.quiescence.proposal = None;
    }

    /// Heartbeats go on, and unquiesce those that have agreed.
    pub(crate) fn cancel_quiesce_proposal(&mut self) {
        self.quiescence.proposal = None;
    }

    /// A proposal, a read, a hand-over or a campaign was asked for at this replica.
    pub(crate) fn note_request(&mut self) {
        self.note_activity();
        self.unquiesce_for(UnquiesceCause::Request);
    }

    pub(crate) fn unquiesce_for(&mut self, cause: UnquiesceCause) {
        if self.quiescence.quiesced.take().is_none() {
            return;
        }
        self.quiescence.active_at = self.now;
        if self.role == Role::Leader {
            // Nobody had to answer while quiesced; a quorum has the usual time to from now on.
            self.lead.heartbeat_at = self.now;
            self.lead.peers.values_mut().for_each(|peer| peer.count_silence_from(self.now));
        } else {
            let (low, high) = (self.config.election_timeout_min, self.config.election_timeout_max);
            let usual = self.election.heard.after(self.random.duration(low, high));
            // The timeout may be over already; the random part keeps followers from campaigning
            // all at once.
            let soon = self.now.after(self.random.duration(Duration::ZERO, low));
            self.election.deadline = usual.max(soon);
        }
        self.effects.push(crate::Effect::Unquiesced { cause });
    }

    fn quiesce(&mut self, round: u64, liveness: LivenessEpoch) {
        self.quiescence.proposal = None;
        // Nobody answers rounds from now on, so a lease has nothing left to rest on.
        self.lead.lease.forget_rounds();
        if self.quiescence.quiesced.replace(QuiescedUnder { round, liveness }).is_none() {
            self.effects.push(crate::Effect::Quiesced);
        }
    }

    /// Whether a leader has nothing left to do or to tell: every voter holds all it has, and knows
    /// that it is committed. Groups with learners or a joint configuration do not quiesce: their
    /// change of members has yet to end.
    fn is_at_rest(&self) -> bool {
        let configuration = self.configuration();
        self.role == Role::Leader
            && self.has_committed_own_term()
            && self.is_quiet(self.log.last_index())
            && configuration.is_voter(self.config.id)
            && self.membership_is_committed()
            && self.lead.transfer.is_none()
            && self.lead.departing.is_empty()
            && self.lead.reads.is_empty()
            && self.lead.peers.values().all(|peer| {
                peer.state == ProgressState::Replicate
                    && peer.matched == self.log.last_index()
                    && peer.commit_told == self.commit
                    && !peer.awaits_answer()
            })
    }

    /// Whether everything up to `commit` is all there is, durable and applied, in a configuration
    /// that stays.
    fn is_quiet(&self, commit: Index) -> bool {
        let configuration = self.configuration();
        self.commit == commit
            && self.log.last_index() == commit
            && self.log.durable() == commit
            && self.applied == commit
            && self.is_settled()
            && !configuration.is_joint()
            && configuration.learners.is_empty()
    }

    /// Before a message is taken: unquiesces this replica if the message ends quiescence. Says
    /// whether the message is to be dropped, as one that came late.
    pub(crate) fn unquiesce_for_message(&mut self, from: ReplicaId, message: &Message) -> bool {
        let Some(QuiescedUnder { round: agreed, .. }) = self.quiescence.quiesced else {
            return false;
        };
        let leads = self.role == Role::Leader;
        match *message {
            Message::PreVote { term, .. } | Message::Vote { term, .. } if term > self.term => {
                if !leads {
                    self.withdraw_agreement(agreed);
                }
                self.unquiesce_for(UnquiesceCause::Message);
            }
            Message::Heartbeat { term, round, .. } | Message::Quiesce { term, round, .. }
                if term == self.term && round <= agreed =>
            {
                return self.leader == Some(from);
            }
            // A newer proposal: the heartbeats between the two were lost.
            Message::Quiesce { .. } => {}
            Message::Heartbeat { term, .. }
            | Message::Append { term, .. }
            | Message::TimeoutNow { term }
                if term == self.term =>
            {
                self.unquiesce_for(UnquiesceCause::Message);
            }
            Message::ReadIndexRequest { .. } if leads => {
                self.unquiesce_for(UnquiesceCause::Message)
            }
            _ => {}
        }
        false
    }

    /// After a message: an answer that came late may leave the leader with something to send.
    pub(crate) fn unquiesce_if_busy(&mut self) {
        if self.is_quiesced() && self.role == Role::Leader && !self.is_at_rest() {
            self.unquiesce_for(UnquiesceCause::Message);
        }
    }

    /// A follower that others unquiesce takes its agreement back, so that its leader sends
    /// heartbeats again.
    fn withdraw_agreement(&mut self, round: u64) {
        if let Some(leader) = self.leader {
            let term = self.term;
            self.send(leader, Message::QuiesceResponse { term, round, agreed: false });
        }
    }

    pub(crate) fn on_quiesce(
        &mut self,
        from: ReplicaId,
        commit: Index,
        round: u64,
        liveness: LivenessEpoch,
    ) {
        // A later heartbeat has overtaken this proposal.
        if round <= self.quiescence.heard_round {
            return;
        }
        self.hear_leader(from);
        self.note_heard_round(round);
        self.learn_commit(commit);
        let agreed = self.is_quiet(commit)
            && self.verified == commit
            && self.forwarded.is_empty()
            && self.ambiguous_tail.is_none()
            && self.configuration().is_voter(self.config.id);
        self.send(from, Message::QuiesceResponse { term: self.term, round, agreed });
        if agreed {
            self.quiesce(round, liveness);
        } else {
            self.unquiesce_for(UnquiesceCause::Message);
        }
    }

    pub(crate) fn on_quiesce_response(&mut self, from: ReplicaId, round: u64, agreed: bool) {
        let Some(peer) = self.lead.peers.get_mut(&from) else { return };
        peer.note_heard(self.now);
        if let Some(proposal) = self.quiescence.proposal.take_if(|proposal| proposal.round == round)
        {
            if agreed {
                let proposal = self.quiescence.proposal.insert(proposal);
                proposal.agreed.insert(from);
                self.quiesce_if_agreed();
            } else {
                // The next heartbeat unquiesces those that have agreed.
                self.lead.heartbeat_at = self.now;
            }
        } else if !agreed
            && self.quiescence.quiesced.is_some_and(|quiesced| quiesced.round == round)
        {
            self.unquiesce_for(UnquiesceCause::Message);
        }
    }

    /// Every voter has to agree itself: one that did not answer may lack entries, or know nothing
    /// of their commit.
    fn quiesce_if_agreed(&mut self) {
        let Some(proposal) = &self.quiescence.proposal else { return };
        let missing = self.lead.peers.keys().filter(|id| !proposal.agreed.contains(id)).count();
        let one_may_miss = mutant!(self.config, QuiesceWithoutEveryVoter);
        let (round, liveness) = (proposal.round, proposal.liveness);
        if missing <= usize::from(one_may_miss) && self.is_at_rest() {
            self.quiesce(round, liveness);
        }
    }

    pub(crate) fn note_heard_round(&mut self, round: u64) {
        self.quiescence.heard_round = self.quiescence.heard_round.max(round);
    }

    /// A peer has answered a round, so it was not quiesced when that came.
    pub(crate) fn note_not_quiesced(&mut self, from: ReplicaId, round: u64) {
        if round > self.quiescence.maybe_quiesced.0 {
            self.quiescence.maybe_quiesced.1.remove(&from);
        }
    }

    /// A newer term: what was agreed in the old one binds nobody.
    pub(crate) fn reset_quiesce(&mut self) {
        self.quiescence.proposal = None;
        self.quiescence.maybe_quiesced = (0, BTreeSet::new());
        self.quiescence.heard_round = 0;
    }
}
