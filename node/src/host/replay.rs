//! When a replica may serve reads again after a restart: never an older state than one
//! it served before.
//!
//! What a replica has served it had applied, and what it had applied was durable in its
//! own log. So after a restart the log holds all that was served, but knows only of a
//! part that it is committed: the commit index reaches the disk a little later. The
//! replica therefore serves nothing until one of these holds:
//!
//! 1. It has applied everything up to where its log ended at the start. If a leader cuts
//!    that off, it was not committed, so it was not served: the end is then where the log
//!    ends now. If the log was cut ambiguously at the start, entries that were served may be
//!    missing: the end is then where the log ends once its tail is repaired.
//! 2. It has caught up with a leader of a later term than the one it stopped in: that
//!    leader holds everything committed before (leader completeness).
//! 3. [`PATIENCE`] has passed, and it has applied what its log knows committed. Where the
//!    majority is gone for longer, stale reads are worth more than none. Only what was
//!    served in the instants before the restart, before the log's mark said that it is
//!    committed, may then be missing.

use doug_raft::{Index, Raft, Term, Time};
use std::time::Duration;

/// How long a restarted replica waits to hear from a leader what of its log is committed.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// A replica that has yet to find its former state again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replay {
    /// Where the log ended, and the term of that entry.
    end: (Index, Term),
    /// What the log knew committed.
    commit: Index,
    /// In which term the replica stopped.
    term: Term,
    started: Time,
    /// The log may end before what was served.
    ambiguous: bool,
}

/// How a replica came to serve again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// It holds everything it has ever served.
    Whole,
    /// It heard no leader in time, and holds what its log knew committed.
    AsFarAsKnown,
}

impl Replay {
    /// Begins at what was found on disk.
    pub(super) fn new(raft: &Raft, now: Time) -> Self {
        let last = raft.last_index();
        let end = (last, raft.term_at(last).unwrap_or(0));
        let ambiguous = raft.has_ambiguous_tail();
        Self { end, commit: raft.commit(), term: raft.term(), started: now, ambiguous }
    }

    /// Looks whether the replica may serve. `caught_up`: it has once applied an entry of
    /// its leader's own term, and all that was committed then.
    pub(super) fn ended(
        &mut self,
        raft: &Raft,
        applied: Index,
        caught_up: bool,
        now: Time,
    ) -> Option<Replayed> {
        let (index, term) = self.end;
        let is_cut_off = index > applied && raft.term_at(index) != Some(term);
        let is_repaired = self.ambiguous && !raft.has_ambiguous_tail();
        self.ambiguous &= !is_repaired;
        if is_cut_off || is_repaired {
            let last = raft.last_index();
            self.end = (last, raft.term_at(last).unwrap_or(0));
        }
        let whole = applied >= self.end.0 || caught_up && raft.term() > self.term;
        if whole && !self.ambiguous {
            return Some(Replayed::Whole);
        }
        let late = now.since(self.started) >= PATIENCE && applied >= self.commit;
        late.then_some(Replayed::AsFarAsKnown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use doug_raft::{
        Batch, BatchKind, BatchTime, Clock, Config, Configuration, Effect, Membership, Message,
        PartitionId, ReplicaId, Restored, Stamp,
    };

    const NOW: Time = Time(1_000_000);

    fn batch(term: Term, base: Index) -> Batch {
        let commands = [Bytes::from_static(b"x")];
        let time = BatchTime { clock: Clock(base), stamp: Stamp(base) };
        Batch::encode(PartitionId(1), BatchKind::Commands, term, base, time, &commands)
    }

    /// Replica 2 of three, restarted in term 3: five entries, of which two are known committed.
    fn restarted() -> Raft {
        restarted_with(false)
    }

    fn restarted_with(ambiguous_tail: bool) -> Raft {
        let voters = (1..=3).map(ReplicaId).collect();
        let configuration = Configuration { voters, ..Configuration::default() };
        let membership = Membership { configuration, context: Bytes::new() };
        let restored = Restored {
            term: 3,
            commit: 2,
            batches: (1..=5).map(|index| batch(2, index)).collect(),
            ambiguous_tail,
            ..Restored::empty(membership)
        };
        Raft::new(Config::new(PartitionId(1), ReplicaId(2), 7), restored, NOW)
    }

    #[test]
    fn a_log_that_was_cut_may_end_before_what_was_served_until_it_is_repaired() {
        let mut raft = restarted_with(true);
        let mut replay = Replay::new(&raft, NOW);
        assert_eq!(replay.ended(&raft, 5, false, NOW), None, "it may have served 6");
        raft.step(NOW, ReplicaId(1), Message::Heartbeat { term: 3, commit: 0, round: 1 });
        let request = raft.take_effects().into_iter().find_map(|effect| match effect {
            Effect::Send { message: Message::LogEndRequest { request, .. }, .. } => Some(request),
            _ => None,
        });
        let request = request.expect("it asks the leader where its log ends");
        let answer = Message::LogEndResponse { term: 3, request, last_index: 6 };
        raft.step(NOW, ReplicaId(1), answer);
        let batches = vec![batch(3, 6)];
        let append = Message::Append { term: 3, prev_index: 5, prev_term: 2, commit: 6, batches };
        raft.step(NOW, ReplicaId(1), append);
        for effect in raft.take_effects() {
            if let Effect::Persist { ticket, .. } = effect {
                raft.persisted(NOW, ticket);
            }
        }
        drop(raft.take_effects());
        assert_eq!(replay.ended(&raft, 5, false, NOW), None, "6 is not applied");
        assert_eq!(replay.ended(&raft, 6, false, NOW), Some(Replayed::Whole));
    }

    #[test]
    fn what_its_log_held_must_be_applied_first() {
        let raft = restarted();
        let mut replay = Replay::new(&raft, NOW);
        assert_eq!(replay.ended(&raft, 2, false, NOW), None, "it may have served up to 5");
        assert_eq!(replay.ended(&raft, 4, true, NOW), None, "caught up in the term it stopped in");
        assert_eq!(replay.ended(&raft, 5, false, NOW), Some(Replayed::Whole));
    }

    #[test]
    fn what_a_leader_cuts_off_was_never_served() {
        let mut raft = restarted();
        let mut replay = Replay::new(&raft, NOW);
        let append = Message::Append {
            term: 3,
            prev_index: 3,
            prev_term: 2,
            commit: 3,
            batches: vec![batch(3, 4)],
        };
        raft.step(NOW, ReplicaId(1), append);
        assert_eq!(raft.last_index(), 4);
        assert_eq!(replay.ended(&raft, 3, false, NOW), None);
        assert_eq!(replay.ended(&raft, 4, false, NOW), Some(Replayed::Whole));
    }

    #[test]
    fn without_a_leader_it_serves_what_its_log_knows_committed_after_a_while() {
        let raft = restarted();
        let mut replay = Replay::new(&raft, NOW);
        let late = NOW.after(PATIENCE);
        assert_eq!(replay.ended(&raft, 1, false, late), None, "not before that is applied");
        assert_eq!(replay.ended(&raft, 2, false, late), Some(Replayed::AsFarAsKnown));
    }
}
