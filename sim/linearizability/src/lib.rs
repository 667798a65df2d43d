//! "Linearizable": the operations on one key can be put into one order that
//! respects real time and explains every answer.
//!
//! Wing and Gong's search (1993) with Lowe's memo of visited configurations
//! (2017). It knows nothing of revisions, logs or nodes: only what clients saw.
//! A crate of its own, so that whoever judges a real database builds no simulator.
#![deny(missing_docs)]

use rustc_hash::FxHashSet;

/// What an operation did to its key, as far as its client knows. Values are
/// unique numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Set it, or with `None` deleted it, whatever stood there.
    Write(Option<u64>),
    /// Set it if what stood there was as expected.
    WriteIf {
        /// What had to stand there; `None`: nothing.
        expected: Option<u64>,
        /// What it was set to.
        value: u64,
        /// Whether the answer said that it was; not known without an answer.
        met: Option<bool>,
    },
    /// Deleted it and was told whether it existed.
    DeleteSeen {
        /// The answer.
        existed: bool,
    },
    /// Read this.
    Read(Option<u64>),
}

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// When it was asked.
    pub call: u64,
    /// When it was answered; `None`: never, so it may take effect at any later time or not at all.
    pub answer: Option<u64>,
    /// What it did.
    pub act: Act,
}

/// The outcome of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// An order exists.
    Linearizable,
    /// None exists. At most this many operations could be ordered.
    NotLinearizable {
        /// Operations in the longest order found.
        ordered: usize,
    },
    /// The search was given up.
    TooHard,
}

/// The state after the operation, or `None` if its answer is impossible from here.
fn step(state: Option<u64>, act: Act) -> Option<Option<u64>> {
    match act {
        Act::Write(value) => Some(value),
        Act::WriteIf { expected, value, met } => {
            let holds = state == expected;
            if met.is_some_and(|met| met != holds) {
                return None;
            }
            Some(if holds { Some(value) } else { state })
        }
        Act::DeleteSeen { existed } => (existed == state.is_some()).then_some(None),
        Act::Read(found) => (found == state).then_some(state),
    }
}

/// An operation's call or answer in the list the search walks over.
#[derive(Clone, Copy)]
struct Mark {
    operation: usize,
    is_call: bool,
    next: usize,
    previous: usize,
}

const END: usize = usize::MAX;

/// Calls and answers in the order of time, doubly linked, so that an operation
/// can be lifted out and put back.
struct Timeline {
    marks: Vec<Mark>,
    /// Where an operation's answer stands, if it has one.
    answers: Vec<Option<usize>>,
    head: usize,
}

impl Timeline {
    fn new(operations: &[Operation]) -> Self {
        let mut moments: Vec<(u64, bool, usize)> = Vec::new();
        for (number, operation) in operations.iter().enumerate() {
            // At one time, calls come before answers: then they overlap.
            moments.push((operation.call, false, number));
            moments.extend(operation.answer.map(|answer| (answer, true, number)));
        }
        moments.sort_unstable();
        let mut marks: Vec<Mark> = Vec::new();
        let mut answers = vec![None; operations.len()];
        for (place, (_, is_answer, operation)) in moments.iter().copied().enumerate() {
            if is_answer {
                answers[operation] = Some(place);
            }
            let next = if place + 1 == moments.len() { END } else { place + 1 };
            let previous = if place == 0 { END } else { place - 1 };
            marks.push(Mark { operation, is_call: !is_answer, next, previous });
        }
        let head = if marks.is_empty() { END } else { 0 };
        Self { marks, answers, head }
    }

    fn lift(&mut self, place: usize) {
        let Mark { next, previous, .. } = self.marks[place];
        match previous {
            END => self.head = next,
            previous => self.marks[previous].next = next,
        }
        if next != END {
            self.marks[next].previous = previous;
        }
    }

    fn put_back(&mut self, place: usize) {
        let Mark { next, previous, .. } = self.marks[place];
        match previous {
            END => self.head = place,
            previous => self.marks[previous].next = place,
        }
        if next != END {
            self.marks[next].previous = place;
        }
    }
}

/// Looks for an order, visiting at most `budget` configurations. The key is
/// missing at first.
pub fn check(operations: &[Operation], budget: usize) -> Verdict {
    let mut timeline = Timeline::new(operations);
    let mut unanswered_left = operations.iter().filter(|o| o.answer.is_some()).count();
    let mut state: Option<u64> = None;
    let mut done = vec![0_u64; operations.len().div_ceil(64)];
    let mut visited: FxHashSet<(Vec<u64>, Option<u64>)> = FxHashSet::default();
    let mut path: Vec<(usize, Option<u64>)> = Vec::new();
    let mut ordered = 0;
    let mut place = timeline.head;
    loop {
        if unanswered_left == 0 {
            return Verdict::Linearizable;
        }
        if place != END && timeline.marks[place].is_call {
            let mark = timeline.marks[place];
            let operation = operations[mark.operation];
            let bit = 1_u64 << (mark.operation % 64);
            if let Some(next) = step(state, operation.act) {
                done[mark.operation / 64] |= bit;
                if visited.insert((done.clone(), next)) {
                    if visited.len() > budget {
                        return Verdict::TooHard;
                    }
                    path.push((place, state));
                    ordered = ordered.max(path.len());
                    state = next;
                    timeline.lift(place);
                    if let Some(answer) = timeline.answers[mark.operation] {
                        timeline.lift(answer);
                        unanswered_left -= 1;
                    }
                    place = timeline.head;
                    continue;
                }
                done[mark.operation / 64] &= !bit;
            }
            place = mark.next;
            continue;
        }
        // An answer whose operation is not ordered yet, or the end: go back.
        let Some((last, before)) = path.pop() else {
            return Verdict::NotLinearizable { ordered };
        };
        let operation = timeline.marks[last].operation;
        if let Some(answer) = timeline.answers[operation] {
            timeline.put_back(answer);
            unanswered_left += 1;
        }
        timeline.put_back(last);
        done[operation / 64] &= !(1_u64 << (operation % 64));
        state = before;
        place = timeline.marks[last].next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(call: u64, answer: u64, act: Act) -> Operation {
        Operation { call, answer: Some(answer), act }
    }

    fn lost(call: u64, act: Act) -> Operation {
        Operation { call, answer: None, act }
    }

    fn put(value: u64) -> Act {
        Act::Write(Some(value))
    }

    fn put_if(expected: Option<u64>, value: u64, met: Option<bool>) -> Act {
        Act::WriteIf { expected, value, met }
    }

    fn good(history: &[Operation]) {
        assert_eq!(check(history, 100_000), Verdict::Linearizable);
    }

    fn bad(history: &[Operation]) {
        assert!(matches!(check(history, 100_000), Verdict::NotLinearizable { .. }));
    }

    #[test]
    fn an_empty_history_and_a_simple_one_are_good() {
        good(&[]);
        good(&[op(0, 1, put(1)), op(2, 3, Act::Read(Some(1))), op(4, 5, Act::Write(None))]);
    }

    #[test]
    fn a_read_must_not_miss_a_write_answered_before_it_began() {
        bad(&[op(0, 1, put(1)), op(2, 3, Act::Read(None))]);
    }

    #[test]
    fn a_read_may_see_or_miss_a_write_it_overlaps() {
        good(&[op(0, 10, put(1)), op(2, 3, Act::Read(None)), op(4, 5, Act::Read(Some(1)))]);
    }

    #[test]
    fn once_seen_an_overlapping_write_stays_seen() {
        bad(&[op(0, 10, put(1)), op(2, 3, Act::Read(Some(1))), op(4, 5, Act::Read(None))]);
    }

    #[test]
    fn a_value_nobody_wrote_is_never_read() {
        bad(&[op(0, 1, put(1)), op(2, 3, Act::Read(Some(2)))]);
    }

    #[test]
    fn a_write_without_answer_may_appear_late_or_never() {
        let late = [lost(0, put(1)), op(1, 2, Act::Read(None)), op(9, 10, Act::Read(Some(1)))];
        good(&late);
        good(&late[..2]);
    }

    #[test]
    fn a_write_without_answer_never_disappears_again() {
        bad(&[
            lost(0, put(1)),
            op(1, 2, Act::Read(Some(1))),
            op(3, 4, put(2)),
            op(5, 6, Act::Read(Some(1))),
        ]);
    }

    #[test]
    fn a_lost_update_is_found() {
        bad(&[
            op(0, 1, put(1)),
            op(2, 9, put_if(Some(1), 2, Some(true))),
            op(2, 9, put_if(Some(1), 3, Some(true))),
        ]);
        good(&[
            op(0, 1, put(1)),
            op(2, 9, put_if(Some(1), 2, Some(true))),
            op(2, 9, put_if(Some(1), 3, Some(false))),
        ]);
    }

    #[test]
    fn a_condition_refused_without_reason_is_found() {
        bad(&[op(0, 1, put(1)), op(2, 3, put_if(Some(1), 2, Some(false)))]);
    }

    #[test]
    fn what_a_delete_says_existed_must_have() {
        bad(&[op(0, 1, Act::DeleteSeen { existed: true })]);
        good(&[op(0, 1, put(1)), op(2, 3, Act::DeleteSeen { existed: true })]);
    }

    #[test]
    fn writes_that_overlap_take_any_order_but_only_one() {
        let writes = [op(0, 9, put(1)), op(0, 9, put(2)), op(0, 9, put(3))];
        for (first, second) in [(1, 2), (2, 1), (3, 1), (2, 3)] {
            let mut history = writes.to_vec();
            history.push(op(2, 3, Act::Read(Some(first))));
            history.push(op(4, 5, Act::Read(Some(second))));
            good(&history);
            history.push(op(6, 7, Act::Read(Some(first))));
            bad(&history);
        }
    }

    #[test]
    fn a_search_that_takes_too_long_says_so() {
        let history: Vec<_> = (0..20).map(|n| op(0, 100, put(n))).collect();
        let mut history = history;
        history.push(op(101, 102, Act::Read(Some(99))));
        assert_eq!(check(&history, 1_000), Verdict::TooHard);
    }
}
