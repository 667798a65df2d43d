//! Client sessions: what makes a retried write apply once.
//!
//! A session is created by a command of its own, and its id is that command's
//! index: it is unique in its partition and never used again, so a delayed
//! duplicate of the registration cannot revive a session that was evicted.
//!
//! Sessions live in memory, within [`limits::SESSION_BYTES`] a partition. The count decides
//! who is evicted, so it is made of what the log says and nothing else, and is the same on
//! every replica. On disk they are system keys in the tables: a rotation freezes those that
//! changed with the memtable, at its position, and a start-up or a snapshot reads them back
//! before anything else is applied.

use super::session_keys;
use bytes::Bytes;
use doug_proto::limits;
use doug_proto::v1;
use doug_storage::StorageError;
use doug_storage::simulation::{Bug, has_bug};
use doug_storage::tree::{KeyClass, Op, View};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};

/// What a session counts for, in bytes, beside its outcomes: its place in the maps below.
const SESSION: usize = 192;
/// What an outcome counts for, in bytes.
const OUTCOME: usize = 64;

/// What is to be done with a write that names a session.
#[derive(Clone, Debug, PartialEq)]
pub enum SessionAdmission {
    /// It was not seen before: apply it, then [`Sessions::record`] its outcome.
    Fresh,
    /// It was applied before, with this outcome.
    Repeated(v1::Outcome),
    /// The session is not known, or the sequence lies below its window: what an
    /// earlier try did cannot be told.
    Expired,
}

/// The sessions of one partition. The least recently applied is evicted.
#[derive(Clone, Debug)]
pub struct Sessions {
    partition: u64,
    by_id: BTreeMap<u64, Session>,
    /// Session ids by the index of the last command that named them.
    by_use: BTreeMap<u64, u64>,
    /// What all of them count for.
    bytes: usize,
    /// Those of which the tables, once all memtables are flushed, hold a state.
    stored: BTreeSet<u64>,
    /// Those changed or evicted since the last freeze.
    unsaved: BTreeSet<u64>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Session {
    last_used: u64,
    lowest_unanswered: u64,
    /// By sequence, ascending.
    outcomes: Vec<(u64, v1::Outcome)>,
    /// Bytes of the answers in them.
    answer_bytes: usize,
}

impl Sessions {
    /// No sessions of this partition.
    pub fn new(partition: u64) -> Self {
        Self {
            partition,
            by_id: BTreeMap::new(),
            by_use: BTreeMap::new(),
            bytes: 0,
            stored: BTreeSet::new(),
            unsaved: BTreeSet::new(),
        }
    }

    /// The sessions that stand in a partition's tables.
    ///
    /// # Errors
    /// Damaged tables; keys or states that are none, or that cannot be told apart.
    pub fn read(partition: u64, tables: &View) -> Result<Self, StorageError> {
        let mut sessions = Self::new(partition);
        for state in session_keys::read(partition, tables)? {
            let id = state.id;
            let session = Session::from_wire(state);
            let twice = sessions.by_use.insert(session.last_used, id);
            if let Some(other) = twice {
                return Err(StorageError::Refused(format!(
                    "sessions {other} and {id} of partition {partition} were last named by the \
                     same command: replace this replica"
                )));
            }
            sessions.bytes += session.cost();
            sessions.by_id.insert(id, session);
            sessions.stored.insert(id);
        }
        Ok(sessions)
    }

    /// Creates the session whose registration stands at `index`.
    pub fn register(&mut self, index: u64) {
        let session = Session { last_used: index, lowest_unanswered: 1, ..Session::default() };
        self.bytes += session.cost();
        self.by_id.insert(index, session);
        self.by_use.insert(index, index);
        self.unsaved.insert(index);
        self.evict();
    }

    /// Decides on a write that stands at `index`.
    pub fn admit(&mut self, index: u64, claim: &v1::Session) -> SessionAdmission {
        let Some(session) = self.by_id.get_mut(&claim.id) else { return SessionAdmission::Expired };
        self.by_use.remove(&session.last_used);
        self.by_use.insert(index, claim.id);
        self.unsaved.insert(claim.id);
        session.last_used = index;
        self.bytes -= session.forget_below(claim.lowest_unanswered.min(claim.sequence));
        if let Some(outcome) = session.outcome(claim.sequence)
            && !has_bug(Bug::RetryAppliedTwice)
        {
            return SessionAdmission::Repeated(outcome);
        }
        if claim.sequence < session.lowest_unanswered || claim.sequence == 0 {
            return SessionAdmission::Expired;
        }
        SessionAdmission::Fresh
    }

    /// Keeps the outcome of a fresh write, which was admitted just before; of its answers
    /// those that are short.
    pub fn record(&mut self, claim: &v1::Session, outcome: &v1::Outcome) {
        let session = self.by_id.get_mut(&claim.id).expect("the write was admitted just before");
        self.bytes -= session.cost();
        session.record(claim.sequence, outcome);
        self.bytes += session.cost();
        self.evict();
    }

    /// Evicts until the rest is within its bounds. The session named last stays: alone it
    /// counts for a fraction of them.
    fn evict(&mut self) {
        while self.bytes > limits::SESSION_BYTES
            && let Some((_, id)) = self.by_use.pop_first()
        {
            let session = self.by_id.remove(&id).expect("a session by use is one by id");
            self.bytes -= session.cost();
            // What no table will ever hold needs no tombstone.
            if self.stored.contains(&id) {
                self.unsaved.insert(id);
            } else {
                self.unsaved.remove(&id);
            }
        }
    }

    /// What changed since the last call, as changes of system keys: to be frozen with the
    /// memtable whose position is the last command applied.
    pub fn freeze(&mut self) -> Vec<Op> {
        if has_bug(Bug::SessionLostByFlush) {
            self.unsaved.clear();
        }
        let unsaved = std::mem::take(&mut self.unsaved);
        let change = |id: u64| {
            let key = session_keys::key(self.partition, id);
            match self.by_id.get(&id) {
                Some(session) => {
                    self.stored.insert(id);
                    Op::put(KeyClass::System, key, session_keys::value(&session.to_wire(id)))
                }
                None => {
                    self.stored.remove(&id);
                    Op::delete(KeyClass::System, key)
                }
            }
        };
        unsaved.into_iter().map(change).collect()
    }

    /// What all sessions count for, in bytes: at most [`limits::SESSION_BYTES`].
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// All of them, by id.
    pub fn states(&self) -> Vec<v1::SessionState> {
        self.by_id.iter().map(|(id, session)| session.to_wire(*id)).collect()
    }
}

/// Of equal sessions; what of them is in tables is each replica's own affair.
impl PartialEq for Sessions {
    fn eq(&self, other: &Self) -> bool {
        (self.partition, &self.by_id) == (other.partition, &other.by_id)
    }
}

impl Session {
    fn cost(&self) -> usize {
        SESSION + self.outcomes.len() * OUTCOME + self.answer_bytes
    }

    /// What is kept of an outcome. In memory of its own: what it answers may be slices of blocks.
    fn kept(&self, outcome: &v1::Outcome) -> v1::Outcome {
        if outcome.answers.is_empty() {
            return outcome.clone();
        }
        let bytes = answer_bytes(outcome);
        let fits = bytes <= limits::KEPT_ANSWER_BYTES
            && self.answer_bytes + bytes <= limits::SESSION_ANSWER_BYTES;
        if fits {
            let own = Bytes::from(outcome.encode_to_vec());
            return v1::Outcome::decode(own).expect("it was encoded just before");
        }
        v1::Outcome { answers: Vec::new(), answers_dropped: true, ..outcome.clone() }
    }

    fn outcome(&self, sequence: u64) -> Option<v1::Outcome> {
        let at = self.outcomes.binary_search_by_key(&sequence, |(sequence, _)| *sequence);
        at.ok().map(|at| self.outcomes[at].1.clone())
    }

    fn record(&mut self, sequence: u64, outcome: &v1::Outcome) {
        let kept = self.kept(outcome);
        self.answer_bytes += answer_bytes(&kept);
        match self.outcomes.binary_search_by_key(&sequence, |(sequence, _)| *sequence) {
            Ok(at) => {
                self.answer_bytes -= answer_bytes(&self.outcomes[at].1);
                self.outcomes[at].1 = kept;
            }
            Err(at) => self.outcomes.insert(at, (sequence, kept)),
        }
        // The window is by count of sequences, so that a client that never says
        // what it has received cannot make the state grow.
        if let Some((greatest, _)) = self.outcomes.last() {
            let least = greatest.saturating_sub(limits::SESSION_WINDOW - 1);
            self.forget_below(least);
        }
    }

    /// Returns what is freed.
    fn forget_below(&mut self, least: u64) -> usize {
        if least <= self.lowest_unanswered {
            return 0;
        }
        self.lowest_unanswered = least;
        let forgotten = self.outcomes.partition_point(|(sequence, _)| *sequence < least);
        let answers: usize = self.outcomes[..forgotten].iter().map(|(_, o)| answer_bytes(o)).sum();
        self.outcomes.drain(..forgotten);
        self.answer_bytes -= answers;
        forgotten * OUTCOME + answers
    }

    fn to_wire(&self, id: u64) -> v1::SessionState {
        let outcome = |(sequence, outcome): &(u64, v1::Outcome)| v1::SessionOutcome {
            sequence: *sequence,
            outcome: Some(outcome.clone()),
        };
        v1::SessionState {
            id,
            last_used: self.last_used,
            lowest_unanswered: self.lowest_unanswered,
            outcomes: self.outcomes.iter().map(outcome).collect(),
        }
    }

    fn from_wire(state: v1::SessionState) -> Self {
        let outcomes: BTreeMap<u64, v1::Outcome> = state
            .outcomes
            .into_iter()
            .map(|o| (o.sequence, o.outcome.unwrap_or_default()))
            .collect();
        Self {
            last_used: state.last_used,
            lowest_unanswered: state.lowest_unanswered,
            answer_bytes: outcomes.values().map(answer_bytes).sum(),
            outcomes: outcomes.into_iter().collect(),
        }
    }
}

/// What the answers of an outcome count for.
fn answer_bytes(outcome: &v1::Outcome) -> usize {
    outcome.answers.iter().map(Message::encoded_len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(id: u64, sequence: u64, lowest_unanswered: u64) -> v1::Session {
        v1::Session { id, sequence, lowest_unanswered }
    }

    fn outcome(revision: u64) -> v1::Outcome {
        v1::Outcome { revision, conditions_met: true, ..Default::default() }
    }

    fn apply(sessions: &mut Sessions, index: u64, claim: v1::Session) -> SessionAdmission {
        let admission = sessions.admit(index, &claim);
        if admission == SessionAdmission::Fresh {
            sessions.record(&claim, &outcome(index));
        }
        admission
    }

    fn none() -> Sessions {
        Sessions::new(1)
    }

    #[test]
    fn a_retried_write_gets_its_first_outcome() {
        let mut sessions = none();
        sessions.register(5);
        assert_eq!(apply(&mut sessions, 6, claim(5, 1, 1)), SessionAdmission::Fresh);
        assert_eq!(apply(&mut sessions, 7, claim(5, 1, 1)), SessionAdmission::Repeated(outcome(6)));
    }

    #[test]
    fn an_unknown_session_is_expired() {
        assert_eq!(apply(&mut none(), 6, claim(5, 1, 1)), SessionAdmission::Expired);
    }

    #[test]
    fn what_the_client_has_received_is_forgotten_and_then_refused() {
        let mut sessions = none();
        sessions.register(5);
        apply(&mut sessions, 6, claim(5, 1, 1));
        apply(&mut sessions, 7, claim(5, 2, 2));
        assert_eq!(apply(&mut sessions, 8, claim(5, 1, 1)), SessionAdmission::Expired);
    }

    #[test]
    fn writes_of_one_session_may_be_applied_in_any_order() {
        let mut sessions = none();
        sessions.register(5);
        assert_eq!(apply(&mut sessions, 6, claim(5, 3, 1)), SessionAdmission::Fresh);
        assert_eq!(apply(&mut sessions, 7, claim(5, 1, 1)), SessionAdmission::Fresh);
        assert_eq!(apply(&mut sessions, 8, claim(5, 3, 1)), SessionAdmission::Repeated(outcome(6)));
    }

    #[test]
    fn only_the_last_outcomes_are_kept() {
        let mut sessions = none();
        sessions.register(5);
        for sequence in 1..=limits::SESSION_WINDOW + 1 {
            apply(&mut sessions, 5 + sequence, claim(5, sequence, 1));
        }
        assert_eq!(sessions.bytes(), SESSION + limits::SESSION_WINDOW as usize * OUTCOME);
        assert_eq!(apply(&mut sessions, 5_000, claim(5, 1, 1)), SessionAdmission::Expired);
        let second = apply(&mut sessions, 5_001, claim(5, 2, 1));
        assert_eq!(second, SessionAdmission::Repeated(outcome(7)));
    }

    #[test]
    fn the_least_recently_applied_sessions_are_evicted_once_all_exceed_their_bytes() {
        let mut sessions = none();
        let most = (limits::SESSION_BYTES / SESSION) as u64;
        for index in 1..=most {
            sessions.register(index);
        }
        assert_eq!(sessions.len(), most as usize);
        // The outcome of the first makes no room for the second.
        apply(&mut sessions, most + 1, claim(1, 1, 1));
        sessions.register(most + 2);
        assert!(sessions.bytes() <= limits::SESSION_BYTES);
        assert_eq!(apply(&mut sessions, most + 3, claim(2, 1, 1)), SessionAdmission::Expired);
        assert_eq!(apply(&mut sessions, most + 4, claim(1, 2, 1)), SessionAdmission::Fresh);
    }

    #[test]
    fn outcomes_count_too_and_what_is_forgotten_is_given_back() {
        let mut sessions = none();
        let (mut index, window) = (0, limits::SESSION_WINDOW);
        let mut session = |sessions: &mut Sessions| {
            index += 1;
            let id = index;
            sessions.register(id);
            for sequence in 1..=window {
                index += 1;
                apply(sessions, index, claim(id, sequence, 1));
                assert!(sessions.bytes() <= limits::SESSION_BYTES);
            }
            (id, index)
        };
        let full = SESSION + window as usize * OUTCOME;
        let fits = limits::SESSION_BYTES / full;
        for _ in 0..2 * fits {
            session(&mut sessions);
        }
        assert_eq!(sessions.len(), fits);
        let (id, index) = session(&mut sessions);
        let before = sessions.bytes();
        apply(&mut sessions, index + 1, claim(id, window + 1, window + 1));
        assert_eq!(before - sessions.bytes(), (window as usize - 1) * OUTCOME);
    }

    /// Of a transaction whose only answer is a value of so many bytes.
    fn answering(revision: u64, bytes: usize) -> v1::Outcome {
        let get =
            v1::GetAnswer { found: true, value: vec![b'v'; bytes].into(), ..Default::default() };
        let answer = v1::operation_answer::Answer::Get(get);
        let answers = vec![v1::OperationAnswer { answer: Some(answer) }];
        v1::Outcome { answers, ..outcome(revision) }
    }

    #[test]
    fn short_answers_are_kept_for_a_repetition_and_long_ones_dropped() {
        let mut sessions = none();
        sessions.register(5);
        for (sequence, bytes) in [(1, 900), (2, 1_100)] {
            assert_eq!(sessions.admit(6, &claim(5, sequence, 1)), SessionAdmission::Fresh);
            sessions.record(&claim(5, sequence, 1), &answering(6, bytes));
        }
        let repeated = SessionAdmission::Repeated(answering(6, 900));
        assert_eq!(sessions.admit(7, &claim(5, 1, 1)), repeated);
        let dropped = v1::Outcome { answers_dropped: true, ..outcome(6) };
        assert_eq!(sessions.admit(8, &claim(5, 2, 1)), SessionAdmission::Repeated(dropped));
    }

    #[test]
    fn answers_count_and_one_session_keeps_only_so_many() {
        let mut sessions = none();
        sessions.register(5);
        for sequence in 1..=limits::SESSION_WINDOW {
            sessions.admit(5 + sequence, &claim(5, sequence, 1));
            sessions.record(&claim(5, sequence, 1), &answering(5 + sequence, 1_000));
        }
        let outcomes = SESSION + limits::SESSION_WINDOW as usize * OUTCOME;
        let answers = sessions.bytes() - outcomes;
        assert!((60 << 10..=limits::SESSION_ANSWER_BYTES).contains(&answers), "{answers}");
        let sequence = limits::SESSION_WINDOW + 1;
        sessions.admit(9_000, &claim(5, sequence, sequence));
        sessions.record(&claim(5, sequence, sequence), &outcome(9_000));
        assert_eq!(sessions.bytes(), SESSION + OUTCOME);
    }

    #[test]
    fn a_freeze_tells_what_changed_since_the_last_and_what_is_gone() {
        let keys = |ops: Vec<Op>| -> Vec<(Vec<u8>, bool)> {
            let key = |op: Op| (op.key.to_vec(), op.slot.is_tombstone());
            ops.into_iter().map(key).collect()
        };
        let key = |id| session_keys::key(1, id).to_vec();
        let mut sessions = none();
        sessions.register(5);
        sessions.register(6);
        assert_eq!(keys(sessions.freeze()), [(key(5), false), (key(6), false)]);
        assert_eq!(keys(sessions.freeze()), []);
        apply(&mut sessions, 7, claim(6, 1, 1));
        assert_eq!(keys(sessions.freeze()), [(key(6), false)]);
        // One that was frozen is evicted, and one that never was.
        let more = (limits::SESSION_BYTES / SESSION) as u64;
        (8..=8 + more).for_each(|index| sessions.register(index));
        let gone: Vec<_> = keys(sessions.freeze()).into_iter().filter(|(_, gone)| *gone).collect();
        assert_eq!(gone, [(key(5), true), (key(6), true)]);
    }

    #[test]
    fn a_client_that_counts_to_the_last_number_keeps_no_more_outcomes() {
        let mut sessions = none();
        sessions.register(5);
        apply(&mut sessions, 6, claim(5, u64::MAX, 1));
        assert_eq!(apply(&mut sessions, 7, claim(5, 1, 1)), SessionAdmission::Expired);
    }
}
