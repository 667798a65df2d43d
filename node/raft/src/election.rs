//! Elections (paper, §5.2, §5.4.1), with pre-vote (thesis, 9.6).

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::time::Duration;

use crate::batch::BatchKind;
use crate::clock::Stamp;
use crate::configuration::Configuration;
use crate::durability::Held;
use crate::ids::{Index, ReplicaId, Term};
use crate::message::Message;
use crate::mutant::mutant;
use crate::quiesce::UnquiesceCause;
use crate::quorum::VoteResult;
use crate::raft::{LeaderState, Raft, Role};
use crate::time::Time;

/// How often a replica that suspects its leader asks again quickly (a pre-vote and a vote are two),
/// before it falls back to the usual timeouts: enough for a split vote or two, too few to keep a
/// partition that cannot elect anyone busy.
const QUICK_ATTEMPTS: u32 = 6;

#[derive(Clone, Debug, Default)]
pub(crate) struct Election {
    /// When to campaign.
    pub(crate) deadline: Time,
    /// When a leader was last heard; a start counts.
    pub(crate) heard: Time,
    /// The host saw the leader's process go; cleared by hearing it.
    pub(crate) suspected: bool,
    /// Campaigns since the leader was last heard.
    pub(crate) attempts: u32,
    /// Pauses for which the deadline was put off since the leader was last heard or a tick came on
    /// time; counted up to the longest election timeout.
    pub(crate) compensated: Duration,
    /// A pause was compensated since the last tick.
    pub(crate) tick_is_late: bool,
    pub(crate) votes: BTreeMap<ReplicaId, bool>,
    /// Of those who granted theirs, whose logs have an ambiguous tail.
    pub(crate) ambiguous: BTreeSet<ReplicaId>,
}

impl Election {
    pub(crate) fn clear_votes(&mut self) {
        self.votes.clear();
        self.ambiguous.clear();
    }

    fn count(&mut self, from: ReplicaId, granted: bool, ambiguous: bool) {
        self.votes.insert(from, granted);
        if granted && ambiguous {
            self.ambiguous.insert(from);
        }
    }

    fn told_apart_by(&self) -> impl PartialEq + Hash {
        let Election { heard, suspected, attempts, compensated, tick_is_late, .. } = *self;
        let counted = (self.votes.clone(), self.ambiguous.clone());
        (heard, suspected, attempts, compensated, tick_is_late, counted)
    }
}

/// The deadline is left out: it is drawn by chance, see [`Random`](crate::random::Random).
impl PartialEq for Election {
    fn eq(&self, other: &Election) -> bool {
        self.told_apart_by() == other.told_apart_by()
    }
}

impl Eq for Election {}

impl Hash for Election {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.told_apart_by().hash(state);
    }
}

impl Raft {
    /// Campaigns at once, without waiting for the election timeout. Nothing happens if this replica
    /// leads or has no vote.
    pub fn campaign(&mut self, now: Time) {
        self.advance_clock(now);
        if self.role != Role::Leader {
            self.note_request();
            self.start_election();
        }
    }

    /// The host saw `peer`'s process go: its streams reset and its port refuses. If it is the
    /// leader followed, this replica campaigns after a short random delay instead of the election
    /// timeout, and no longer refuses others that do. Hearing the leader takes it back. Only
    /// whether an election is tried hangs on this, never who may win one.
    pub fn suspect(&mut self, now: Time, peer: ReplicaId) {
        self.advance_clock(now);
        if self.role == Role::Follower && self.leader == Some(peer) && !self.election.suspected {
            self.unquiesce_for(UnquiesceCause::Suspicion);
            self.election.suspected = true;
            let soon =
                self.now.after(self.random.duration(Duration::ZERO, self.config.suspicion_delay));
            self.election.deadline = self.election.deadline.min(soon);
        }
    }

    /// This process did not run during `pause`, which ended at `now`: silence during that time says
    /// nothing about the others, whose messages may be waiting. So timeouts that measure it are put
    /// off by as much. Only liveness hangs on them.
    ///
    /// Each pause is put down with the longest election timeout at most, and once the pauses put
    /// down reach that, no more are compensated until the other side is heard or a tick comes on
    /// time. Otherwise a process whose ticks are always late would put its election off for ever,
    /// and as leader would never notice that it has lost its quorum.
    pub fn compensate_pause(&mut self, now: Time, pause: Duration) {
        self.advance_clock(now);
        let most = self.config.election_timeout_max;
        let unbounded = mutant!(self.config, PausesCompensatedWithoutBound);
        self.election.tick_is_late = true;
        if self.election.compensated < most || unbounded {
            self.election.compensated = most.min(self.election.compensated + pause.min(most));
            // Never further away than a new timeout: a clock that fell back and came to itself
            // looks like a long pause too, although no time passed here.
            let latest = self.now.after(most);
            self.election.deadline = self.election.deadline.after(pause).min(latest);
        }
        for peer in self.lead.peers.values_mut().filter(|p| p.compensated < most || unbounded) {
            peer.compensated = most.min(peer.compensated + pause.min(most));
            peer.heard = peer.heard.after(pause).min(now);
        }
    }

    /// Ticks that come on time end the need for compensation.
    pub(crate) fn note_tick(&mut self) {
        if !std::mem::take(&mut self.election.tick_is_late) {
            self.election.compensated = Duration::ZERO;
        }
    }

    /// Whether the next [`tick`](Raft::tick) begins a campaign. A host may put it off.
    #[must_use]
    pub fn campaign_due(&self, now: Time) -> bool {
        self.role != Role::Leader && !self.is_quiesced() && now >= self.election.deadline
    }

    /// Whether a campaign is under way that has not been given up.
    #[must_use]
    pub fn is_campaigning(&self, now: Time) -> bool {
        matches!(self.role, Role::PreCandidate | Role::Candidate) && now < self.election.deadline
    }

    /// Campaigns since a leader was last heard.
    #[must_use]
    pub fn campaigns_tried(&self) -> u32 {
        self.election.attempts
    }

    pub(crate) fn tick_election(&mut self) {
        if self.now >= self.election.deadline {
            self.start_election();
        }
    }

    pub(crate) fn restart_election_timer(&mut self) {
        let (low, high) = (self.config.election_timeout_min, self.config.election_timeout_max);
        self.election.deadline = self.now.after(self.random.duration(low, high));
    }

    /// Sets the time for the next attempt, should this one not succeed.
    fn time_attempt(&mut self) {
        self.election.attempts = self.election.attempts.saturating_add(1);
        if self.election.suspected && self.election.attempts <= QUICK_ATTEMPTS {
            let delay = self.config.suspicion_delay;
            self.election.deadline = self.now.after(self.random.duration(delay, 3 * delay));
        } else {
            self.restart_election_timer();
        }
    }

    /// The leader of this term spoke.
    pub(crate) fn hear_leader(&mut self, from: ReplicaId) {
        assert!(
            self.role != Role::Leader,
            "partition {}: replica {from} and this one both lead term {}",
            self.config.partition,
            self.term
        );
        if self.role != Role::Follower || self.leader != Some(from) {
            self.become_follower(self.term, Some(from));
        }
        self.election.heard = self.now;
        self.election.suspected = false;
        self.election.attempts = 0;
        self.election.compensated = Duration::ZERO;
        self.restart_election_timer();
    }

    /// Whether a leader lives as far as this replica can tell, so that an election would only
    /// disturb.
    pub(crate) fn hears_leader(&self) -> bool {
        match self.role {
            Role::Leader => true,
            Role::PreCandidate | Role::Candidate => false,
            Role::Follower => {
                self.leader.is_some()
                    && !self.election.suspected
                    && self.now.since(self.election.heard) < self.config.election_timeout_min
            }
        }
    }

    fn start_election(&mut self) {
        if self.has_promised() {
            let delay = self.random.duration(Duration::ZERO, self.config.suspicion_delay);
            self.election.deadline = self.promised_until().after(delay);
        } else if !self.may_lead() {
            self.restart_election_timer();
            self.become_follower(self.term, None);
        } else if self.config.pre_vote {
            self.ask_pre_votes();
        } else {
            self.ask_votes(false);
        }
    }

    /// Whether this replica votes, or did until a change that is not known committed: it may be the
    /// only one alive that holds the change, and then nobody without it could win (thesis, 4.2.2).
    /// Its own vote counts only if it is a voter.
    pub(crate) fn may_lead(&self) -> bool {
        let votes = |configuration: &Configuration| configuration.is_voter(self.config.id);
        let previous = &self.log.memberships().previous().configuration;
        votes(self.configuration()) || (!self.membership_is_committed() && votes(previous))
    }

    fn ask_pre_votes(&mut self) {
        self.role = Role::PreCandidate;
        self.set_leader(None);
        self.time_attempt();
        self.election.clear_votes();
        self.election.count(self.config.id, true, self.votes_ambiguously());
        let (term, last_index, last_term) =
            (self.term + 1, self.log.last_index(), self.log.last_term());
        for peer in self.other_voters() {
            self.send(peer, Message::PreVote { term, last_index, last_term });
        }
        self.count_pre_votes();
    }

    /// The requests wait for the own vote to be durable: a candidate that restarts without it could
    /// campaign in the same term again with a shorter log and be elected by votes given to the
    /// longer one.
    pub(crate) fn ask_votes(&mut self, transfer: bool) {
        self.enter_term(self.term + 1, Some(self.config.id));
        self.role = Role::Candidate;
        self.set_leader(None);
        self.time_attempt();
        self.election.clear_votes();
        let (term, last_index, last_term) =
            (self.term, self.log.last_index(), self.log.last_term());
        for peer in self.other_voters() {
            self.send_when_durable(peer, Message::Vote { term, last_index, last_term, transfer });
        }
        self.do_when_durable(Held::OwnVote);
    }

    fn other_voters(&self) -> Vec<ReplicaId> {
        self.configuration().all_voters().into_iter().filter(|&id| id != self.config.id).collect()
    }

    pub(crate) fn on_pre_vote(&mut self, from: ReplicaId, asked: Term, end: (Term, Index)) {
        let granted = asked > self.term
            && !self.hears_leader()
            && !self.has_promised()
            && self.is_up_to_date(end);
        if granted && self.role == Role::Follower {
            // Whoever asked first campaigns alone: two candidates at once split the votes.
            self.election.deadline =
                self.election.deadline.max(self.now.after(self.config.suspicion_delay));
        }
        let ambiguous = granted && self.votes_ambiguously();
        self.send(from, Message::PreVoteResponse { term: self.term, asked, granted, ambiguous });
    }

    pub(crate) fn on_pre_vote_response(
        &mut self,
        from: ReplicaId,
        asked: Term,
        granted: bool,
        ambiguous: bool,
    ) {
        if self.role == Role::PreCandidate && asked == self.term + 1 {
            self.election.count(from, granted, ambiguous);
            self.count_pre_votes();
        }
    }

    fn count_pre_votes(&mut self) {
        match self.tally() {
            VoteResult::Won => self.ask_votes(false),
            VoteResult::Lost => self.become_follower(self.term, None),
            VoteResult::Pending => {}
        }
    }

    pub(crate) fn on_vote(&mut self, from: ReplicaId, end: (Term, Index), transfer: bool) {
        let free = self.vote == Some(from) || (self.vote.is_none() && self.term_leader.is_none());
        let promised = self.has_promised() && !transfer;
        if free && !promised && self.is_up_to_date(end) {
            if self.role == Role::PreCandidate {
                self.become_follower(self.term, None);
            }
            self.hard_state_changed |= self.vote != Some(from);
            self.vote = Some(from);
            self.restart_election_timer();
            let (term, ambiguous) = (self.term, self.votes_ambiguously());
            let response = Message::VoteResponse { term, granted: true, ambiguous };
            self.send_when_durable(from, response);
        } else {
            let (term, granted, ambiguous) = (self.term, false, false);
            self.send(from, Message::VoteResponse { term, granted, ambiguous });
        }
    }

    /// Paper, §5.4.1: the later last term, or the longer log of the same.
    fn is_up_to_date(&self, end: (Term, Index)) -> bool {
        let shorter_will_do = mutant!(self.config, VoteForShorterLog);
        end >= (self.log.last_term(), if shorter_will_do { 0 } else { self.log.last_index() })
    }

    pub(crate) fn on_vote_response(&mut self, from: ReplicaId, granted: bool, ambiguous: bool) {
        if self.role == Role::Candidate {
            self.election.count(from, granted, ambiguous);
            self.count_votes();
        }
    }

    pub(crate) fn count_own_vote(&mut self) {
        if self.role == Role::Candidate {
            self.election.count(self.config.id, true, self.votes_ambiguously());
            self.count_votes();
        }
    }

    fn tally(&self) -> VoteResult {
        let Election { votes, ambiguous, .. } = &self.election;
        if mutant!(self.config, AmbiguousVoteCounted) {
            return self.deciding().tally(votes, &BTreeSet::new());
        }
        self.deciding().tally(votes, ambiguous)
    }

    fn count_votes(&mut self) {
        match self.tally() {
            VoteResult::Won => self.become_leader(),
            VoteResult::Lost => self.become_follower(self.term, None),
            VoteResult::Pending => {}
        }
    }

    fn become_leader(&mut self) {
        self.lead_with(|raft| {
            raft.track_members(raft.log.last_index() + 1);
            // Paper, §8: only an entry of the own term can be committed by counting, and commits
            // all before it.
            raft.append_own(BatchKind::Noop, Stamp(0), &[]);
        });
    }

    /// Leads from now on; `begin` puts the first entry of the term into the log.
    pub(crate) fn lead_with(&mut self, begin: impl FnOnce(&mut Raft)) {
        self.role = Role::Leader;
        self.election = Election { heard: self.election.heard, ..Election::default() };
        self.set_leader(Some(self.config.id));
        self.lead = LeaderState {
            heartbeat_at: self.now.after(self.config.heartbeat_interval),
            uncommitted_bytes: self.log.bytes_between(self.commit, self.log.last_index()),
            ..LeaderState::default()
        };
        // Elected beside every quorum that it was part of, it holds all that was committed.
        self.note_tail_repaired();
        self.note_activity();
        begin(self);
    }
}
