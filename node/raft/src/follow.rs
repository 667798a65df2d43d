//! Taking in the leader's log (paper, §5.3: AppendEntries, receiver's side).

use crate::batch::Batch;
use crate::effects::LogWrite;
use crate::ids::{Index, ReplicaId, Term};
use crate::message::{Message, Verdict};
use crate::mutant::mutant;
use crate::raft::Raft;

impl Raft {
    pub(crate) fn on_append(
        &mut self,
        from: ReplicaId,
        prev: (Index, Term),
        commit: Index,
        batches: Vec<Batch>,
    ) {
        self.hear_leader(from);
        if let Some(verdict) = self.refuse(prev) {
            self.send(from, Message::AppendResponse { term: self.term, verdict });
            // The leader may believe an acknowledgement given before the log was cut, and then
            // takes this refusal for an old one.
            self.ask_for_log_end(from);
            return;
        }
        check_adjacent(prev.0, &batches);
        // Below the log's base everything is committed, so every leader of this or a later term
        // holds the same.
        let mut end = prev.0;
        for batch in batches {
            end = batch.last();
            self.take_in(batch);
        }
        self.verified = self.verified.max(end);
        self.learn_commit(commit);
        let verdict = Verdict::Accepted { matched: end };
        self.send_when_durable(from, Message::AppendResponse { term: self.term, verdict });
    }

    /// The reason not to take batches after `prev`, with what the leader needs to know to find
    /// where the logs part.
    fn refuse(&self, (prev_index, prev_term): (Index, Term)) -> Option<Verdict> {
        if prev_index > self.log.last_index() {
            let first_index = self.log.last_index() + 1;
            return Some(Verdict::Rejected { prev_index, conflict_term: 0, first_index });
        }
        if prev_index < self.log.base().0 {
            return None;
        }
        let term = self.log.term_at(prev_index).expect("it is between the log's base and its end");
        if term == prev_term {
            assert!(
                self.log.is_boundary(prev_index),
                "partition {}: a batch of term {term} ends at {prev_index} in the leader's log and \
                 not in this one",
                self.config.partition
            );
            return None;
        }
        let first_index = self.log.first_of_term(term).unwrap_or(prev_index);
        Some(Verdict::Rejected { prev_index, conflict_term: term, first_index })
    }

    /// Rules 3 and 4 of AppendEntries, for whole batches.
    fn take_in(&mut self, batch: Batch) {
        if batch.last() <= self.log.base().0 {
            return;
        }
        assert!(
            batch.base > self.log.base().0,
            "partition {}: {batch} straddles the log's base at {}, and a batch is never cut",
            self.config.partition,
            self.log.base().0
        );
        if let Some(own) = self.log.batch_at(batch.base) {
            // Everything before is equal, and equal logs are cut equally: a batch is made once, by
            // one leader.
            assert!(
                own.base == batch.base && (own.term != batch.term || own.count == batch.count),
                "partition {}: the leader's {batch} and this log's {own} are cut differently",
                self.config.partition
            );
            if own.term == batch.term {
                return;
            }
            self.drop_conflicting(batch.base);
        }
        assert!(
            batch.term <= self.term,
            "partition {}: the leader of term {} sent {batch}, which is of a later term",
            self.config.partition,
            self.term
        );
        self.issue_hard_state();
        self.persist(LogWrite::Append(batch));
    }

    fn drop_conflicting(&mut self, base: Index) {
        assert!(
            base > self.commit && base > self.verified,
            "partition {}: the leader of term {} would replace index {base}, but everything up to \
             {} is committed and up to {} is its own",
            self.config.partition,
            self.term,
            self.commit,
            self.verified
        );
        self.log.truncate(base);
        if !mutant!(self.config, TruncationKeepsStaleMembership) {
            self.log.truncate_memberships(base);
        }
    }

    pub(crate) fn on_heartbeat(&mut self, from: ReplicaId, commit: Index, round: u64) {
        self.hear_leader(from);
        self.note_heard_round(round);
        self.learn_commit(commit);
        // `matched` is an acknowledgement, so the term must be durable too; otherwise a restart
        // could follow an older leader, who overwrites what was acknowledged.
        let matched =
            if self.term_is_durable() { self.verified.min(self.log.durable()) } else { 0 };
        let too_early = mutant!(self.config, HeartbeatAcknowledgesBeforeDurable);
        let matched = if too_early { self.verified } else { matched };
        let verified = self.verified;
        self.send(from, Message::HeartbeatResponse { term: self.term, round, verified, matched });
        self.ask_for_unknown_log_end(from);
    }

    /// Beyond what this leader has verified here, the log may hold entries that it will replace.
    pub(crate) fn learn_commit(&mut self, commit: Index) {
        let unverified = mutant!(self.config, CommitPastVerified);
        let safe = if unverified { self.log.last_index() } else { self.verified };
        let commit = commit.min(safe);
        if commit > self.commit {
            self.set_commit(commit);
        }
    }
}

fn check_adjacent(prev_index: Index, batches: &[Batch]) {
    let mut end = prev_index;
    for batch in batches {
        assert!(
            batch.base == end + 1,
            "the leader sent {batch} after index {end}: something is missing between"
        );
        end = batch.last();
    }
}
