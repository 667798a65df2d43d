//! One replica: its state, and the calls that everything else hangs on.

use std::collections::BTreeMap;

use crate::clock::Clock;
use crate::config::{Config, Restored};
use crate::durability::{Durability, Held};
use crate::effects::{Effect, LogWrite};
use crate::election::Election;
use crate::ids::{Index, ReplicaId, Term, Ticket};
use crate::lease::Lease;
use crate::log::Log;
use crate::membership_change::Departing;
use crate::message::{Message, Verdict};
use crate::mutant::mutant;
use crate::progress::Progress;
use crate::quiesce::{Quiescence, UnquiesceCause};
use crate::random::Random;
use crate::read_index::{ForwardedReads, LeaderReads};
use crate::tail::AmbiguousTail;
use crate::time::Time;
use crate::transfer::Transfer;

/// What a replica is in its term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Listens. Learners always do.
    Follower,
    /// Asks whether it could win.
    PreCandidate,
    /// Asks for votes.
    Candidate,
    /// Leads.
    Leader,
}

/// One replica of one partition. See the crate's documentation.
///
/// Several modules write these fields. Between two calls, all of the following hold;
/// [`check_invariants`](Raft::check_invariants) asserts them, in this order.
///
/// 1. *The log.* `base <= applied <= applying <= commit <= last_index`, and
///    `applying <= durable <= last_index`: only what is committed and durable here is applied, and
///    only what is applied is compacted. `verified <= last_index`. Each membership that the log
///    holds is the one of a batch in it: one that was cut off is no longer in force (paper, §6).
/// 2. *The term.* No entry of the log is of a later term than `term`.
/// 3. *The leader.* A leader that is followed is the term's only one: `leader` is `None` or
///    `term_leader`.
/// 4. *A follower* collects no votes. *A candidate* has voted for itself in its term.
/// 5. *The leader of a term* follows itself, and its term and its vote for itself are durable.
///    Nobody else holds anything of `LeaderState`.
/// 6. *Progress*, at the leader, is kept of all other members, and of nobody twice or of itself. A
///    peer has acknowledged less than is sent next, and nothing beyond the log's end; it has been
///    told no commit beyond the leader's.
/// 7. *Forwarded reads* are a follower's, and it knows the leader that is to answer them.
/// 8. *A quiesced replica* leads or knows its leader, has everything committed, durable and
///    applied, and has proposed nothing that is not answered.
/// 9. *An ambiguous tail* is no leader's: whoever is elected holds all that was committed.
/// 10. *Pauses* for which timeouts were put off are counted up to one timeout.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Raft {
    pub(crate) config: Config,
    pub(crate) random: Random,
    pub(crate) now: Time,

    pub(crate) role: Role,
    pub(crate) term: Term,
    pub(crate) vote: Option<ReplicaId>,
    /// The leader followed now.
    pub(crate) leader: Option<ReplicaId>,
    /// The leader of this term, once it was heard; kept even if it is followed no longer.
    pub(crate) term_leader: Option<ReplicaId>,
    /// Term or vote changed since the last hard state was issued.
    pub(crate) hard_state_changed: bool,
    hard_state_ticket: Ticket,

    pub(crate) log: Log,
    /// What a majority of the voters' clocks had reached, and when.
    pub(crate) observed: (Clock, Time),
    pub(crate) durability: Durability,
    pub(crate) commit: Index,
    /// Handed to the host to apply.
    pub(crate) applying: Index,
    pub(crate) applied: Index,
    /// The log equals that of this term's leader up to here.
    pub(crate) verified: Index,

    pub(crate) election: Election,
    /// Until it knows that it holds all it ever acknowledged, if its log was cut ambiguously.
    pub(crate) ambiguous_tail: Option<AmbiguousTail>,
    pub(crate) lead: LeaderState,
    pub(crate) forwarded: ForwardedReads,
    pub(crate) quiescence: Quiescence,

    pub(crate) effects: Vec<Effect>,
    announced: (Role, Term, Option<ReplicaId>),
}

/// What only a leader has; empty in every other role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct LeaderState {
    pub(crate) peers: BTreeMap<ReplicaId, Progress>,
    /// The last heartbeat round begun.
    pub(crate) round: u64,
    pub(crate) heartbeat_at: Time,
    pub(crate) uncommitted_bytes: u64,
    pub(crate) reads: LeaderReads,
    pub(crate) transfer: Option<Transfer>,
    pub(crate) departing: Departing,
    pub(crate) lease: Lease,
}

impl Raft {
    /// Starts a replica from what its disk held. It follows, knows no leader, and first hands out
    /// what is committed and not yet applied.
    ///
    /// Panics if the parts contradict each other: a gap in the log, a term below the log's, an
    /// applied index beyond it.
    #[must_use]
    pub fn new(config: Config, restored: Restored, now: Time) -> Raft {
        config.check();
        let mut random = Random::from_parts(&[config.seed, config.partition.0, config.id.0, now.0]);
        let log = Log::new(
            config.partition,
            restored.snapshot,
            restored.snapshot_time,
            restored.membership,
            restored.batches,
        );
        check_restored(&log, restored.term, restored.applied, restored.commit);
        let forwarded = ForwardedReads::starting_at(random.next());
        let ambiguous_tail =
            restored.ambiguous_tail.then(|| AmbiguousTail::starting_at(random.next()));
        let mut raft = Raft {
            random,
            now,
            role: Role::Follower,
            term: restored.term,
            vote: restored.vote,
            leader: None,
            term_leader: None,
            hard_state_changed: false,
            hard_state_ticket: Ticket(0),
            log,
            observed: (Clock::default(), now),
            durability: Durability::default(),
            commit: restored.commit.max(restored.applied),
            applying: restored.applied,
            applied: restored.applied,
            verified: 0,
            election: Election { heard: now, ..Election::default() },
            ambiguous_tail,
            lead: LeaderState::default(),
            forwarded,
            quiescence: Quiescence::default(),
            effects: Vec::new(),
            announced: (Role::Follower, restored.term, None),
            config,
        };
        raft.restart_election_timer();
        raft
    }

    /// Lets time pass: elections, heartbeats, and everything that is given up after a while.
    pub fn tick(&mut self, now: Time) {
        self.advance_clock(now);
        self.note_tick();
        if self.is_quiesced() {
            return;
        }
        if self.role == Role::Leader {
            self.tick_leader();
        } else {
            self.expire_forwarded_reads();
            self.tick_election();
        }
    }

    /// Takes a message of the replica `from`, of the same group.
    pub fn step(&mut self, now: Time, from: ReplicaId, message: Message) {
        self.advance_clock(now);
        assert!(from != self.config.id, "replica {from} received a message from itself");
        if self.unquiesce_for_message(from, &message) || !self.observe_term(from, &message) {
            return;
        }
        self.take(from, message);
        self.unquiesce_if_busy();
    }

    fn take(&mut self, from: ReplicaId, message: Message) {
        match message {
            Message::PreVote { term, last_index, last_term } => {
                self.on_pre_vote(from, term, (last_term, last_index))
            }
            Message::PreVoteResponse { asked, granted, ambiguous, .. } => {
                self.on_pre_vote_response(from, asked, granted, ambiguous)
            }
            Message::Vote { last_index, last_term, transfer, .. } => {
                self.on_vote(from, (last_term, last_index), transfer)
            }
            Message::VoteResponse { granted, ambiguous, .. } => {
                self.on_vote_response(from, granted, ambiguous)
            }
            Message::Append { prev_index, prev_term, commit, batches, .. } => {
                self.on_append(from, (prev_index, prev_term), commit, batches);
            }
            Message::AppendResponse { verdict, .. } => self.on_append_response(from, verdict),
            Message::Heartbeat { commit, round, .. } => self.on_heartbeat(from, commit, round),
            Message::HeartbeatResponse { round, verified, matched, .. } => {
                self.on_heartbeat_response(from, round, verified, matched);
            }
            Message::Quiesce { commit, round, liveness, .. } => {
                self.on_quiesce(from, commit, round, liveness);
            }
            Message::QuiesceResponse { round, agreed, .. } => {
                self.on_quiesce_response(from, round, agreed);
            }
            Message::TimeoutNow { .. } => self.on_timeout_now(),
            Message::ReadIndexRequest { request, .. } => self.on_read_index_request(from, request),
            Message::ReadIndexResponse { request, index, .. } => {
                self.on_read_index_response(request, index)
            }
            Message::LogEndRequest { request, last_index, .. } => {
                self.on_log_end_request(from, request, last_index);
            }
            Message::LogEndResponse { request, last_index, .. } => {
                self.on_log_end_response(request, last_index);
            }
        }
    }

    /// Every record with this ticket or an earlier one is durable. What waited for that happens
    /// now.
    pub fn persisted(&mut self, now: Time, ticket: Ticket) {
        self.advance_clock(now);
        self.log.persisted(ticket);
        for held in self.durability.persisted(ticket) {
            self.release(held);
        }
        if self.role == Role::Leader {
            self.advance_commit();
        }
    }

    /// What there is to do since the last call. Appends, read rounds and batches to apply are put
    /// together here, so the more calls a host makes in between, the fewer and larger they are.
    #[must_use]
    pub fn take_effects(&mut self) -> Vec<Effect> {
        self.issue_hard_state();
        self.end_ambiguity();
        if self.role == Role::Leader {
            self.begin_read_round();
            self.send_appends();
            self.dismiss_departed();
            self.step_down_if_removed();
        } else {
            self.forward_reads();
        }
        self.hand_out_committed();
        std::mem::take(&mut self.effects)
    }

    pub(crate) fn advance_clock(&mut self, now: Time) {
        self.now = self.now.max(now);
    }

    /// Rules for all servers: a newer term makes a follower, an older one is answered with ours.
    /// Says whether the message is to be taken further.
    fn observe_term(&mut self, from: ReplicaId, message: &Message) -> bool {
        let term = message.term();
        match message {
            // Only asked about: nobody has this term yet.
            Message::PreVote { .. } => true,
            // Thesis, 4.2.3: while a leader is heard, a candidate is ignored. Its term is not even
            // taken up, for that would depose the leader.
            Message::Vote { transfer: false, .. }
                if term > self.term
                    && self.config.check_quorum
                    && (self.hears_leader() || self.has_promised()) =>
            {
                false
            }
            _ if term > self.term => {
                self.become_follower(term, None);
                true
            }
            _ if term < self.term => self.answer_older_term(from, message),
            _ => true,
        }
    }

    /// A deposed leader or late candidate learns our term from the answer. Says whether the message
    /// is of use nevertheless.
    fn answer_older_term(&mut self, from: ReplicaId, message: &Message) -> bool {
        let term = self.term;
        match *message {
            Message::Append { prev_index, .. } => {
                let verdict = Verdict::Rejected { prev_index, conflict_term: 0, first_index: 0 };
                self.send(from, Message::AppendResponse { term, verdict });
            }
            Message::Heartbeat { .. } | Message::Quiesce { .. } => {
                self.send(
                    from,
                    Message::HeartbeatResponse { term, round: 0, verified: 0, matched: 0 },
                );
            }
            Message::Vote { .. } => {
                self.send(from, Message::VoteResponse { term, granted: false, ambiguous: false })
            }
            _ => {}
        }
        match message {
            Message::PreVoteResponse { .. } | Message::ReadIndexRequest { .. } => true,
            Message::VoteResponse { .. } => mutant!(self.config, VoteCountedInLaterTerm),
            _ => false,
        }
    }

    /// Takes up a newer term, in which nothing is promised to anyone yet.
    pub(crate) fn enter_term(&mut self, term: Term, vote: Option<ReplicaId>) {
        assert!(term > self.term, "the term would fall from {} to {term}", self.term);
        self.term = term;
        self.vote = vote;
        self.term_leader = None;
        self.verified = 0;
        self.hard_state_changed = true;
        self.durability.forget_held();
        self.reset_quiesce();
    }

    /// Follows `leader` (or nobody known) in `term`, giving up whatever the old role held.
    pub(crate) fn become_follower(&mut self, term: Term, leader: Option<ReplicaId>) {
        self.unquiesce_for(UnquiesceCause::Message);
        if term > self.term {
            self.enter_term(term, None);
        }
        if self.role == Role::Leader {
            self.resign();
            self.restart_election_timer();
        }
        self.role = Role::Follower;
        self.election.clear_votes();
        self.set_leader(leader);
    }

    pub(crate) fn set_leader(&mut self, leader: Option<ReplicaId>) {
        if self.leader != leader {
            self.abort_forwarded_reads();
        }
        if let Some(id) = leader {
            assert!(
                self.term_leader.is_none_or(|known| known == id),
                "partition {}: replicas {:?} and {id} both lead term {}",
                self.config.partition,
                self.term_leader,
                self.term
            );
            self.term_leader = leader;
        }
        self.leader = leader;
        self.announce();
    }

    fn resign(&mut self) {
        self.abort_reads();
        self.lead = LeaderState::default();
    }

    fn announce(&mut self) {
        let now = (self.role, self.term, self.leader);
        if now != self.announced {
            self.announced = now;
            self.effects.push(Effect::RoleChanged { role: now.0, term: now.1, leader: now.2 });
        }
    }

    pub(crate) fn send(&mut self, to: ReplicaId, message: Message) {
        self.effects.push(Effect::Send { to, message });
    }

    /// Sends once everything issued so far, the present term and vote included, is durable.
    pub(crate) fn send_when_durable(&mut self, to: ReplicaId, message: Message) {
        self.do_when_durable(Held::Message { to, message });
    }

    pub(crate) fn do_when_durable(&mut self, held: Held) {
        self.issue_hard_state();
        if let Some(held) = self.durability.hold(held) {
            self.release(held);
        }
    }

    fn release(&mut self, held: Held) {
        match held {
            Held::Message { to, message } => self.send(to, message),
            Held::OwnVote => self.count_own_vote(),
            Held::Recovery(membership) => self.lead_alone(&membership),
        }
    }

    /// Issues term and vote once for however many changes came together, and before any batch of
    /// that term.
    pub(crate) fn issue_hard_state(&mut self) {
        if self.hard_state_changed {
            self.hard_state_changed = false;
            self.hard_state_ticket =
                self.persist(LogWrite::HardState { term: self.term, vote: self.vote });
        }
    }

    pub(crate) fn term_is_durable(&self) -> bool {
        !self.hard_state_changed && self.durability.is_durable(self.hard_state_ticket)
    }

    pub(crate) fn persist(&mut self, record: LogWrite) -> Ticket {
        let ticket = self.durability.next_ticket();
        if let LogWrite::Append(batch) = &record {
            self.log.append(batch.clone(), ticket);
        }
        self.effects.push(Effect::Persist { ticket, record });
        ticket
    }
}

fn check_restored(log: &Log, term: Term, applied: Index, commit: Index) {
    assert!(
        term >= log.last_term(),
        "the log ends in term {}, but the hard state says term {term}: a term was lost",
        log.last_term()
    );
    assert!(
        commit <= log.last_index(),
        "the commit index {commit} is beyond the log's end at {}: entries were lost",
        log.last_index()
    );
    assert!(
        log.is_boundary(applied),
        "applied up to {applied}, where no batch of the log ends (it holds {} to {})",
        log.base().0 + 1,
        log.last_index()
    );
}
