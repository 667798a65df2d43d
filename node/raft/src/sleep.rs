//! Sleep: an idle partition costs nothing. Its replicas agree to be silent, and only their nodes go on telling each other
//! that they live (docs/consensus.md, "Sleeping partitions").
//!
//! Nothing here decides what is committed or who may lead. Sleep only stops timers and heartbeats, so what it puts at risk
//! is liveness: somebody asleep without a leader. Whoever sleeps has agreed to one leader's wish, made in one heartbeat
//! round of one term, and its host wakes it when the process that vouches for that leader changes or falls silent.

use std::collections::BTreeSet;
use std::fmt;

use crate::ids::{Index, ReplicaId, Time};
use crate::message::Message;
use crate::mutant::mutant;
use crate::progress::ProgressState;
use crate::raft::{Raft, Role};

/// What vouches for a sleeping leader: one process of its node, for as long as it keeps the replicas it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vouch {
    /// Random number of the process.
    pub incarnation: u64,
    /// How many replicas it has let go of under which others may sleep.
    pub epoch: u64,
}

/// Why a replica woke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WakeCause {
    /// A proposal, a read, a hand-over or a campaign was asked for here.
    Request,
    /// A replica of the group said something that sleep does not allow.
    Message,
    /// The leader's node fell silent; or, at the leader, so many nodes that no quorum is left.
    Silence,
    /// The process on a peer's node is another one, or has let go of replicas.
    Restart,
    /// The host saw the leader's process go.
    Suspicion,
}

impl WakeCause {
    /// All of them.
    pub const ALL: [WakeCause; 5] = [
        WakeCause::Request,
        WakeCause::Message,
        WakeCause::Silence,
        WakeCause::Restart,
        WakeCause::Suspicion,
    ];

    /// Its name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            WakeCause::Request => "request",
            WakeCause::Message => "message",
            WakeCause::Silence => "silence",
            WakeCause::Restart => "restart",
            WakeCause::Suspicion => "suspicion",
        }
    }
}

impl fmt::Display for WakeCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Sleep {
    asleep: Option<Asleep>,
    /// The leader's wish, until everyone has agreed or it is overtaken.
    wish: Option<Wish>,
    /// The last wish's round, and the peers that may sleep because of it: they have answered no later round.
    lulled: (u64, BTreeSet<ReplicaId>),
    /// The greatest round heard in this term: an older wish comes late.
    heard_round: u64,
    /// When something other than heartbeats last happened at this leader.
    active_at: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Asleep {
    round: u64,
    vouch: Vouch,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Wish {
    round: u64,
    vouch: Vouch,
    agreed: BTreeSet<ReplicaId>,
}

impl Raft {
    /// Whether it sleeps: it needs no [`tick`](Raft::tick) until it wakes.
    #[must_use]
    pub fn is_asleep(&self) -> bool {
        self.sleep.asleep.is_some()
    }

    /// What vouches for the leader under whom it sleeps; `None` if it is awake. A leader sleeps under its own process.
    #[must_use]
    pub fn sleeps_under(&self) -> Option<Vouch> {
        self.sleep.asleep.map(|asleep| asleep.vouch)
    }

    /// Whether other replicas may sleep because this one wished it in this term, and have not been heard awake since. A host
    /// that lets go of such a replica must change its [`Vouch`].
    #[must_use]
    pub fn may_be_slept_under(&self) -> bool {
        !self.sleep.lulled.1.is_empty()
    }

    /// Since when nothing but heartbeats has happened here; `None` unless it leads and is awake.
    #[must_use]
    pub fn idle_since(&self) -> Option<Time> {
        (self.role == Role::Leader && !self.is_asleep()).then_some(self.sleep.active_at)
    }

    /// Asks every voter to sleep, if this leader has nothing left to do or to tell; says whether it asked. It sleeps once all
    /// have agreed, and goes on as ever if one does not answer before the next heartbeat is due. To be called only while the
    /// nodes of all voters are heard, or nobody would notice that one of them goes.
    pub fn propose_sleep(&mut self, now: Time, vouch: Vouch) -> bool {
        self.advance_clock(now);
        // Between two wishes goes a heartbeat: its answers tell what keeps a voter from agreeing.
        let just_asked = self.lead.round > 0 && self.lead.round == self.sleep.lulled.0;
        if self.is_asleep() || just_asked || !self.is_at_rest() {
            return false;
        }
        self.lead.round += 1;
        self.lead.heartbeat_at = self.now.after(self.config.heartbeat_interval);
        let (round, peers) = (self.lead.round, self.peer_ids());
        for &peer in &peers {
            let (term, commit) = (self.term, self.commit);
            self.send(peer, Message::Sleep { term, commit, round, vouch });
        }
        self.sleep.lulled = (round, peers.into_iter().collect());
        self.sleep.wish = Some(Wish { round, vouch, agreed: BTreeSet::new() });
        self.sleep_if_agreed();
        true
    }

    /// Ends sleep, if it sleeps: a leader speaks up at its next tick, another's election timer begins anew.
    pub fn wake(&mut self, now: Time, cause: WakeCause) {
        self.advance_clock(now);
        self.wake_up(cause);
    }

    /// The leader's node vouches for its leaders by this now. Who sleeps under another process of it wakes.
    pub fn vouched(&mut self, now: Time, vouch: Vouch) {
        let other = self.sleep.asleep.is_some_and(|asleep| asleep.vouch != vouch);
        if self.role != Role::Leader && other && !mutant!(self.config, IncarnationIgnored) {
            self.wake(now, WakeCause::Restart);
        }
    }

    /// The leader's node was last heard then, which counts as hearing a leader that sleeps. To be called before a sleeping
    /// follower takes a message, or it would let others depose a leader that is well.
    pub fn leader_heard(&mut self, then: Time) {
        if self.is_asleep() && self.role == Role::Follower {
            self.election.heard = self.election.heard.max(then);
        }
    }

    pub(crate) fn note_activity(&mut self) {
        self.sleep.active_at = self.now;
        self.sleep.wish = None;
    }

    /// Heartbeats go on: whoever has agreed to the wish is about to wake.
    pub(crate) fn withdraw_wish(&mut self) {
        self.sleep.wish = None;
    }

    /// Something is asked for here.
    pub(crate) fn rouse(&mut self) {
        self.note_activity();
        self.wake_up(WakeCause::Request);
    }

    pub(crate) fn wake_up(&mut self, cause: WakeCause) {
        if self.sleep.asleep.take().is_none() {
            return;
        }
        self.sleep.active_at = self.now;
        if self.role == Role::Leader {
            // Nobody was to answer; a quorum now has the usual time to.
            self.lead.heartbeat_at = self.now;
            self.lead.peers.values_mut().for_each(|peer| peer.heard = self.now);
        } else {
            let (low, high) = (self.config.election_timeout_min, self.config.election_timeout_max);
            let usual = self.election.heard.after(self.random.between(low, high));
            // The silence may have lasted long enough; still, not all at once.
            let soon = self.now.after(self.random.between(0, low));
            self.election.deadline = usual.max(soon);
        }
        self.effects.push(crate::Effect::Woke { cause });
    }

    fn fall_asleep(&mut self, round: u64, vouch: Vouch) {
        self.sleep.wish = None;
        // Nobody answers any rounds now, so nothing is left for a lease to rest on.
        self.lead.lease.forget_rounds();
        if self.sleep.asleep.replace(Asleep { round, vouch }).is_none() {
            self.effects.push(crate::Effect::FellAsleep);
        }
    }

    /// Whether a leader has nothing left to do or to tell, and knows that every voter holds and knows committed all it has.
    /// Learners and joint configurations do not sleep: they are on the way to something else.
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

    /// Whether everything up to `commit` is all there is, durable and applied, in a configuration that stays.
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

    /// Before a message is taken: wakes this replica if sleep does not allow it. Says whether the message is to be dropped,
    /// as one that came late.
    pub(crate) fn disturbed_by(&mut self, from: ReplicaId, message: &Message) -> bool {
        let Some(Asleep { round: slept, .. }) = self.sleep.asleep else { return false };
        let leads = self.role == Role::Leader;
        match *message {
            Message::PreVote { term, .. } | Message::Vote { term, .. } if term > self.term => {
                if !leads {
                    self.withdraw(slept);
                }
                self.wake_up(WakeCause::Message);
            }
            Message::Heartbeat { term, round, .. } | Message::Sleep { term, round, .. }
                if term == self.term && round <= slept =>
            {
                return self.leader == Some(from);
            }
            // A newer wish: this one's heartbeats were lost.
            Message::Sleep { .. } => {}
            Message::Heartbeat { term, .. }
            | Message::Append { term, .. }
            | Message::TimeoutNow { term }
                if term == self.term =>
            {
                self.wake_up(WakeCause::Message);
            }
            Message::ReadIndexRequest { .. } if leads => self.wake_up(WakeCause::Message),
            _ => {}
        }
        false
    }

    /// After a message: an answer that came late may have left the leader with something to send.
    pub(crate) fn wake_if_busy(&mut self) {
        if self.is_asleep() && self.role == Role::Leader && !self.is_at_rest() {
            self.wake_up(WakeCause::Message);
        }
    }

    /// A follower that wakes because of others takes its agreement back, so that its leader speaks up.
    fn withdraw(&mut self, round: u64) {
        if let Some(leader) = self.leader {
            let term = self.term;
            self.send(leader, Message::SleepResponse { term, round, agreed: false });
        }
    }

    pub(crate) fn on_sleep(&mut self, from: ReplicaId, commit: Index, round: u64, vouch: Vouch) {
        // Whoever wished that has spoken since.
        if round <= self.sleep.heard_round {
            return;
        }
        self.hear_leader(from);
        self.note_heard_round(round);
        self.learn_commit(commit);
        let agreed = self.is_quiet(commit)
            && self.verified == commit
            && self.forwarded.is_empty()
            && self.configuration().is_voter(self.config.id);
        self.send(from, Message::SleepResponse { term: self.term, round, agreed });
        if agreed {
            self.fall_asleep(round, vouch);
        } else {
            self.wake_up(WakeCause::Message);
        }
    }

    pub(crate) fn on_sleep_response(&mut self, from: ReplicaId, round: u64, agreed: bool) {
        let Some(peer) = self.lead.peers.get_mut(&from) else { return };
        peer.heard = self.now;
        if let Some(wish) = self.sleep.wish.take_if(|wish| wish.round == round) {
            if agreed {
                let wish = self.sleep.wish.insert(wish);
                wish.agreed.insert(from);
                self.sleep_if_agreed();
            } else {
                // Whoever has agreed may wake at once.
                self.lead.heartbeat_at = self.now;
            }
        } else if !agreed && self.sleep.asleep.is_some_and(|asleep| asleep.round == round) {
            self.wake_up(WakeCause::Message);
        }
    }

    /// Each voter for itself: one that did not answer may not even know that there is nothing new.
    fn sleep_if_agreed(&mut self) {
        let Some(wish) = &self.sleep.wish else { return };
        let missing = self.lead.peers.keys().filter(|id| !wish.agreed.contains(id)).count();
        let one_may_miss = mutant!(self.config, SleepWithoutEveryVoter);
        let (round, vouch) = (wish.round, wish.vouch);
        if missing <= usize::from(one_may_miss) && self.is_at_rest() {
            self.fall_asleep(round, vouch);
        }
    }

    pub(crate) fn note_heard_round(&mut self, round: u64) {
        self.sleep.heard_round = self.sleep.heard_round.max(round);
    }

    /// A peer has answered a round, so it was awake when that came.
    pub(crate) fn note_awake(&mut self, from: ReplicaId, round: u64) {
        if round > self.sleep.lulled.0 {
            self.sleep.lulled.1.remove(&from);
        }
    }

    /// A newer term: nobody keeps a leader's place by sleeping in the old one.
    pub(crate) fn forget_sleep_of_term(&mut self) {
        self.sleep.wish = None;
        self.sleep.lulled = (0, BTreeSet::new());
        self.sleep.heard_round = 0;
    }
}
