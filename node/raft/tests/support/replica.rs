//! One replica, driven by hand: the test plays its peers and its disk.

use std::time::Duration;

use doug_raft::{
    Batch, Config, Effect, Index, LogWrite, Message, Raft, ReplicaId, Restored, Role, Term, Ticket,
    Time, Verdict,
};

use super::{config, id, restored, voters};

pub struct Replica {
    pub raft: Raft,
    pub now: Time,
    /// Every effect taken so far that `sent` and its like have not consumed.
    pub seen: Vec<Effect>,
    issued: Ticket,
}

impl Replica {
    pub fn new(config: Config, restored: Restored) -> Replica {
        let now = Time(1_000_000);
        Replica { raft: Raft::new(config, restored, now), now, seen: Vec::new(), issued: Ticket(0) }
    }

    /// Replica 1 of 1, 2, 3, in `term`, with this log, nothing committed.
    pub fn of_three(term: Term, batches: Vec<Batch>) -> Replica {
        Replica::new(config(1), restored(voters([1, 2, 3]), term, batches))
    }

    /// Replica 1 of 1, 2, 3 as leader of term 1: its no-op at index 1 is acknowledged by all,
    /// committed and applied.
    pub fn leader() -> Replica {
        let mut replica = Replica::of_three(0, vec![]);
        replica.win();
        replica.acknowledge(2, 1);
        replica.acknowledge(3, 1);
        replica.settle();
        replica.raft.applied(1);
        replica.seen.clear();
        replica
    }

    /// Wins the next election with the vote of every other voter.
    pub fn win(&mut self) {
        self.raft.campaign(self.now);
        self.settle();
        let voters = self.raft.configuration().all_voters();
        let others: Vec<u64> =
            voters.iter().map(|id| id.0).filter(|&other| id(other) != self.raft.id()).collect();
        let asked = self.raft.term() + 1;
        for &other in &others {
            self.step(
                other,
                Message::PreVoteResponse {
                    term: asked - 1,
                    asked,
                    granted: true,
                    ambiguous: false,
                },
            );
        }
        self.settle();
        for &other in &others {
            self.step(
                other,
                Message::VoteResponse { term: asked, granted: true, ambiguous: false },
            );
        }
        self.settle();
        assert_eq!((self.raft.role(), self.raft.term()), (Role::Leader, asked));
    }

    pub fn step(&mut self, from: u64, message: Message) {
        self.raft.step(self.now, id(from), message);
    }

    pub fn acknowledge(&mut self, from: u64, matched: Index) {
        let term = self.raft.term();
        self.step(from, Message::AppendResponse { term, verdict: Verdict::Accepted { matched } });
    }

    /// Time passes in one leap.
    pub fn wait(&mut self, leap: Duration) {
        self.now = self.now.after(leap);
        self.raft.tick(self.now);
    }

    /// Takes effects; nothing becomes durable.
    pub fn take(&mut self) {
        self.raft.check_invariants();
        for effect in self.raft.take_effects() {
            if let Effect::Persist { ticket, .. } = &effect {
                assert!(*ticket > self.issued, "tickets strictly increase");
                self.issued = *ticket;
            }
            self.seen.push(effect);
        }
    }

    /// Everything written so far becomes durable.
    pub fn sync(&mut self) {
        self.raft.persisted(self.now, self.issued);
    }

    /// Takes effects and makes records durable until nothing more happens.
    pub fn settle(&mut self) {
        self.take();
        loop {
            self.sync();
            let before = self.seen.len();
            self.take();
            if self.seen.len() == before {
                return;
            }
        }
    }

    /// The messages since the last call, without making anything durable.
    pub fn sent(&mut self) -> Vec<(u64, Message)> {
        self.take();
        self.drain(|effect| match effect {
            Effect::Send { to, message } => Some((to.0, message.clone())),
            _ => None,
        })
    }

    pub fn sent_to(&mut self, to: u64) -> Vec<Message> {
        self.sent()
            .into_iter()
            .filter(|(receiver, _)| *receiver == to)
            .map(|(_, message)| message)
            .collect()
    }

    /// The records since the last call.
    pub fn written(&mut self) -> Vec<LogWrite> {
        self.take();
        self.drain(|effect| match effect {
            Effect::Persist { record, .. } => Some(record.clone()),
            _ => None,
        })
    }

    /// The batches handed out since the last call.
    pub fn applying(&mut self) -> Vec<Batch> {
        self.take();
        self.drain(|effect| match effect {
            Effect::Apply { batches } => Some(batches.clone()),
            _ => None,
        })
        .concat()
    }

    /// Every other effect since the last call: neither messages, records, batches nor changes of
    /// role.
    pub fn others(&mut self) -> Vec<Effect> {
        self.take();
        self.drain(|effect| match effect {
            Effect::Send { .. }
            | Effect::Persist { .. }
            | Effect::Apply { .. }
            | Effect::RoleChanged { .. } => None,
            other => Some(other.clone()),
        })
    }

    fn drain<T>(&mut self, pick: impl Fn(&Effect) -> Option<T>) -> Vec<T> {
        let mut picked = Vec::new();
        self.seen.retain(|effect| match pick(effect) {
            Some(value) => {
                picked.push(value);
                false
            }
            None => true,
        });
        picked
    }

    /// The terms of the log from its first index on.
    pub fn log_terms(&self) -> Vec<Term> {
        (self.raft.first_index()..=self.raft.last_index())
            .filter_map(|index| self.raft.term_at(index))
            .collect()
    }
}

pub fn append(term: Term, prev: (Index, Term), commit: Index, batches: Vec<Batch>) -> Message {
    Message::Append { term, prev_index: prev.0, prev_term: prev.1, commit, batches }
}

pub fn accepted(term: Term, matched: Index) -> Message {
    Message::AppendResponse { term, verdict: Verdict::Accepted { matched } }
}

pub fn rejected(term: Term, prev_index: Index, conflict_term: Term, first_index: Index) -> Message {
    let verdict = Verdict::Rejected { prev_index, conflict_term, first_index };
    Message::AppendResponse { term, verdict }
}

pub fn heartbeat(term: Term) -> Message {
    Message::Heartbeat { term, commit: 0, round: 1 }
}

pub fn vote(term: Term, last_term: Term, last_index: Index) -> Message {
    Message::Vote { term, last_index, last_term, transfer: false }
}

pub fn vote_response(term: Term, granted: bool) -> Message {
    Message::VoteResponse { term, granted, ambiguous: false }
}

pub fn hard_state(term: Term, vote: Option<u64>) -> LogWrite {
    LogWrite::HardState { term, vote: vote.map(ReplicaId) }
}
