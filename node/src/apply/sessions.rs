//! Client sessions: what makes a retried write apply once.
//!
//! A session is created by a command of its own, and its id is that command's
//! index: it is unique in its partition and never used again, so a delayed
//! duplicate of the registration cannot revive a session that was evicted.

use doug_proto::error::Fault;
use doug_proto::limits;
use doug_proto::v1;
use doug_storage::simulation::{Bug, has_bug};
use std::collections::BTreeMap;

/// What is to be done with a write that names a session.
#[derive(Clone, Debug, PartialEq)]
pub enum Admission {
    /// It was not seen before: apply it, then [`Sessions::record`] its outcome.
    Fresh,
    /// It was applied before, with this outcome.
    Repeated(v1::Outcome),
    /// The session is not known, or the sequence lies below its window: what an
    /// earlier try did cannot be told.
    Expired,
}

/// The sessions of one partition. The least recently applied is evicted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sessions {
    by_id: BTreeMap<u64, Session>,
    /// Session ids by the index of the last command that named them.
    by_use: BTreeMap<u64, u64>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Session {
    last_used: u64,
    lowest_unanswered: u64,
    outcomes: BTreeMap<u64, v1::Outcome>,
}

impl Sessions {
    /// Creates the session whose registration stands at `index`.
    pub fn register(&mut self, index: u64) {
        if self.by_id.len() >= limits::SESSIONS
            && let Some((_, evicted)) = self.by_use.pop_first()
        {
            self.by_id.remove(&evicted);
        }
        let session = Session { last_used: index, lowest_unanswered: 1, ..Session::default() };
        self.by_id.insert(index, session);
        self.by_use.insert(index, index);
    }

    /// Decides on a write that stands at `index`.
    pub fn admit(&mut self, index: u64, claim: &v1::Session) -> Admission {
        let Some(session) = self.by_id.get_mut(&claim.id) else { return Admission::Expired };
        self.by_use.remove(&session.last_used);
        session.last_used = index;
        self.by_use.insert(index, claim.id);
        session.forget_below(claim.lowest_unanswered.min(claim.sequence));
        if let Some(outcome) = session.outcomes.get(&claim.sequence)
            && !has_bug(Bug::RetryAppliedTwice)
        {
            return Admission::Repeated(*outcome);
        }
        if claim.sequence < session.lowest_unanswered || claim.sequence == 0 {
            return Admission::Expired;
        }
        Admission::Fresh
    }

    /// Keeps the outcome of a fresh write.
    pub fn record(&mut self, claim: &v1::Session, outcome: v1::Outcome) {
        let session = self.by_id.get_mut(&claim.id).expect("the write was admitted just before");
        session.outcomes.insert(claim.sequence, outcome);
        // The window is by count of sequences, so that a client that never says
        // what it has received cannot make the state grow.
        if let Some((greatest, _)) = session.outcomes.last_key_value() {
            let least = greatest.saturating_sub(limits::SESSION_WINDOW - 1);
            session.forget_below(least);
        }
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// For the partition's state block: least recently applied first.
    pub fn to_wire(&self) -> Vec<v1::SessionState> {
        let in_order = self.by_use.values().filter_map(|id| Some((id, self.by_id.get(id)?)));
        let to_wire = in_order.map(|(id, session)| v1::SessionState {
            id: *id,
            last_used: session.last_used,
            lowest_unanswered: session.lowest_unanswered,
            outcomes: session
                .outcomes
                .iter()
                .map(|(sequence, outcome)| v1::SessionOutcome {
                    sequence: *sequence,
                    outcome: Some(*outcome),
                })
                .collect(),
        });
        to_wire.collect()
    }

    /// Reads what [`Sessions::to_wire`] wrote.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for sessions that cannot be told apart: each has an id of
    /// its own, and each was last named by another command.
    pub fn from_wire(states: Vec<v1::SessionState>) -> Result<Self, Fault> {
        let mut sessions = Self::default();
        for state in states {
            let outcomes = state.outcomes.into_iter();
            let session = Session {
                last_used: state.last_used,
                lowest_unanswered: state.lowest_unanswered,
                outcomes: outcomes.map(|o| (o.sequence, o.outcome.unwrap_or_default())).collect(),
            };
            let used = sessions.by_use.insert(state.last_used, state.id);
            let known = sessions.by_id.insert(state.id, session);
            if used.is_some() || known.is_some() {
                let id = state.id;
                return Err(Fault::invalid(format!(
                    "session {id} of the state block cannot be told from another"
                )));
            }
        }
        Ok(sessions)
    }
}

impl Session {
    fn forget_below(&mut self, least: u64) {
        if least > self.lowest_unanswered {
            self.lowest_unanswered = least;
            self.outcomes = self.outcomes.split_off(&least);
        }
    }
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

    fn apply(sessions: &mut Sessions, index: u64, claim: v1::Session) -> Admission {
        let admission = sessions.admit(index, &claim);
        if admission == Admission::Fresh {
            sessions.record(&claim, outcome(index));
        }
        admission
    }

    #[test]
    fn a_retried_write_gets_its_first_outcome() {
        let mut sessions = Sessions::default();
        sessions.register(5);
        assert_eq!(apply(&mut sessions, 6, claim(5, 1, 1)), Admission::Fresh);
        assert_eq!(apply(&mut sessions, 7, claim(5, 1, 1)), Admission::Repeated(outcome(6)));
    }

    #[test]
    fn an_unknown_session_is_expired() {
        assert_eq!(apply(&mut Sessions::default(), 6, claim(5, 1, 1)), Admission::Expired);
    }

    #[test]
    fn what_the_client_has_received_is_forgotten_and_then_refused() {
        let mut sessions = Sessions::default();
        sessions.register(5);
        apply(&mut sessions, 6, claim(5, 1, 1));
        apply(&mut sessions, 7, claim(5, 2, 2));
        assert_eq!(apply(&mut sessions, 8, claim(5, 1, 1)), Admission::Expired);
    }

    #[test]
    fn writes_of_one_session_may_be_applied_in_any_order() {
        let mut sessions = Sessions::default();
        sessions.register(5);
        assert_eq!(apply(&mut sessions, 6, claim(5, 3, 1)), Admission::Fresh);
        assert_eq!(apply(&mut sessions, 7, claim(5, 1, 1)), Admission::Fresh);
        assert_eq!(apply(&mut sessions, 8, claim(5, 3, 1)), Admission::Repeated(outcome(6)));
    }

    #[test]
    fn only_the_last_outcomes_are_kept() {
        let mut sessions = Sessions::default();
        sessions.register(5);
        for sequence in 1..=limits::SESSION_WINDOW + 1 {
            apply(&mut sessions, 5 + sequence, claim(5, sequence, 1));
        }
        assert_eq!(apply(&mut sessions, 5_000, claim(5, 1, 1)), Admission::Expired);
        let second = apply(&mut sessions, 5_001, claim(5, 2, 1));
        assert_eq!(second, Admission::Repeated(outcome(7)));
    }

    #[test]
    fn the_least_recently_applied_session_is_evicted() {
        let mut sessions = Sessions::default();
        let most = limits::SESSIONS as u64;
        for index in 1..=most {
            sessions.register(index);
        }
        apply(&mut sessions, most + 1, claim(1, 1, 1));
        sessions.register(most + 2);
        assert_eq!(sessions.len(), limits::SESSIONS);
        assert_eq!(apply(&mut sessions, most + 3, claim(2, 1, 1)), Admission::Expired);
        assert_eq!(apply(&mut sessions, most + 4, claim(1, 2, 1)), Admission::Fresh);
    }

    #[test]
    fn sessions_survive_their_wire_form() {
        let mut sessions = Sessions::default();
        sessions.register(5);
        sessions.register(6);
        apply(&mut sessions, 7, claim(5, 1, 1));
        assert_eq!(Sessions::from_wire(sessions.to_wire()), Ok(sessions));
    }

    #[test]
    fn sessions_that_cannot_be_told_apart_are_refused() {
        let mut sessions = Sessions::default();
        sessions.register(5);
        sessions.register(6);
        let mut states = sessions.to_wire();
        states[1].last_used = states[0].last_used;
        assert!(Sessions::from_wire(states).is_err());
    }

    #[test]
    fn a_client_that_counts_to_the_last_number_keeps_no_more_outcomes() {
        let mut sessions = Sessions::default();
        sessions.register(5);
        apply(&mut sessions, 6, claim(5, u64::MAX, 1));
        assert_eq!(apply(&mut sessions, 7, claim(5, 1, 1)), Admission::Expired);
    }
}
