//! What a transaction does: which of its two lists its conditions choose, what each operation
//! of that list answers, and what is left to be written. A function of a view alone: the same on
//! every replica that applies it, and for a reader that changes nothing.
//!
//! Operations are carried out in order, and each sees those before it: what they have changed
//! is *staged* over the view. What is staged in the end is written once a key, so a watcher sees
//! one change a key and revision, whatever led to it.

use super::number;
use super::staged::{Held, Staged};
use bytes::Bytes;
use doug_proto::limits;
use doug_proto::v1::obstacle::Reason;
use doug_proto::v1::operation_answer::Answer;
use doug_proto::v1::transact_operation::Operation;
use doug_proto::v1::{self, Relation, condition::Test};
use doug_raft::Clock;
use doug_storage::simulation::{Bug, has_bug};
use doug_storage::table::Expiry;
use doug_storage::tree::{Entry, Op, ReadError, View};
use std::cmp::Ordering;

/// A transaction, whoever asked for it.
#[derive(Clone, Copy, Debug)]
pub struct Transaction<'a> {
    /// They choose between the lists.
    pub conditions: &'a [v1::Condition],
    /// If all hold.
    pub then: &'a [v1::TransactOperation],
    /// If one does not.
    pub otherwise: &'a [v1::TransactOperation],
    /// Whether each operation gets an answer.
    pub answers: bool,
}

impl<'a> From<&'a v1::WriteCommand> for Transaction<'a> {
    fn from(write: &'a v1::WriteCommand) -> Self {
        let v1::WriteCommand { conditions, then, otherwise, answers, .. } = write;
        Self { conditions, then, otherwise, answers: *answers }
    }
}

impl<'a> From<&'a v1::TransactRequest> for Transaction<'a> {
    fn from(request: &'a v1::TransactRequest) -> Self {
        let v1::TransactRequest { conditions, then, otherwise, .. } = request;
        Self { conditions, then, otherwise, answers: true }
    }
}

/// Why a transaction goes no further.
enum Stop {
    /// What its keys hold.
    Obstacle(Reason),
    /// The replica cannot read.
    Unreadable(ReadError),
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        Self::Unreadable(error)
    }
}

/// What all ranges of a transaction may visit, and all its answers hold.
struct Budget {
    keys: usize,
    range_bytes: usize,
    answer_bytes: usize,
}

impl Budget {
    /// A range holds the key, so its entry was read; whatever is asked of it, or nothing.
    fn visit(&mut self, entry: &Entry) -> Result<(), Stop> {
        let too_large = || Stop::Obstacle(Reason::RangesTooLarge);
        let bytes = entry.key.len() + entry.value.len();
        self.keys = self.keys.checked_sub(1).ok_or_else(too_large)?;
        self.range_bytes = self.range_bytes.checked_sub(bytes).ok_or_else(too_large)?;
        Ok(())
    }

    fn answer(&mut self, bytes: usize) -> Result<(), Stop> {
        let left = self.answer_bytes.checked_sub(bytes);
        self.answer_bytes = left.ok_or(Stop::Obstacle(Reason::AnswersTooLong))?;
        Ok(())
    }
}

/// Carries `transaction` out over `view`, as the command at `revision` in a batch of this clock:
/// what it answers, and what is to be written.
///
/// # Errors
/// What the view reports when it cannot be read.
pub fn execute(
    view: &View,
    (revision, clock): (u64, Clock),
    transaction: Transaction<'_>,
) -> Result<(v1::Outcome, Vec<Op>), ReadError> {
    let mut outcome = v1::Outcome { revision, ..Default::default() };
    let mut budget = Budget {
        keys: limits::RANGE_KEYS,
        range_bytes: limits::RANGE_BYTES,
        answer_bytes: limits::TRANSACTION_ANSWER_BYTES,
    };
    outcome.conditions_met = true;
    for (number, condition) in (0..).zip(transaction.conditions) {
        match test(view, condition, &mut budget) {
            Ok(None) => {}
            Ok(Some(Unmet { current })) => {
                outcome.conditions_met = false;
                outcome.failed_condition = number;
                outcome.current_revision = current;
                break;
            }
            Err(Stop::Unreadable(error)) => return Err(error),
            Err(Stop::Obstacle(reason)) => {
                outcome.conditions_met = false;
                outcome.obstacle = Some(obstacle(reason, number, true));
                return Ok((outcome, Vec::new()));
            }
        }
    }
    let mut list = if outcome.conditions_met { transaction.then } else { transaction.otherwise };
    if has_bug(Bug::ElseHalfApplied) && !outcome.conditions_met {
        list = &list[..list.len() / 2];
    }
    let mut staged = Staged::over(view, revision);
    for (number, operation) in (0..).zip(list.iter().filter_map(|one| one.operation.as_ref())) {
        let answer = match carry_out(&mut staged, clock, operation, &mut budget) {
            Ok(answer) => answer,
            Err(Stop::Unreadable(error)) => return Err(error),
            Err(Stop::Obstacle(reason)) => {
                outcome.answers.clear();
                outcome.obstacle = Some(obstacle(reason, number, false));
                return Ok((outcome, Vec::new()));
            }
        };
        if transaction.answers {
            outcome.answers.push(v1::OperationAnswer { answer: Some(answer) });
        } else if let (Answer::Delete(delete), 1) = (answer, list.len()) {
            outcome.existed = delete.existed;
        }
    }
    Ok((outcome, staged.into_changes()?))
}

fn obstacle(reason: Reason, index: u32, of_condition: bool) -> v1::Obstacle {
    v1::Obstacle { reason: reason.into(), index, of_condition }
}

/// A condition does not hold.
struct Unmet {
    /// Revision of the key of which it does not, 0 if missing.
    current: u64,
}

fn test(
    view: &View,
    condition: &v1::Condition,
    budget: &mut Budget,
) -> Result<Option<Unmet>, Stop> {
    let Some(range) = &condition.range else {
        let found = view.get(&condition.key, None)?;
        let current = found.as_ref().map_or(0, |found| found.revision);
        let met = match (&condition.test, found) {
            (Some(Test::Exists(exists)), found) => *exists == found.is_some(),
            (_, Some(found)) => holds(condition, found.revision, &found.value),
            (_, None) => false,
        };
        return Ok((!met).then_some(Unmet { current }));
    };
    let nothing = Staged::over(view, view.revision());
    let mut entries = nothing.entries(range, false)?;
    if let Some(Test::Exists(exists)) = condition.test {
        let first = entries.next().transpose()?;
        let current = first.as_ref().map_or(0, |entry| entry.revision);
        return Ok((exists != first.is_some()).then_some(Unmet { current }));
    }
    for entry in entries {
        let entry = entry?;
        budget.visit(&entry)?;
        let Entry { revision, value, .. } = entry;
        if !holds(condition, revision, &value) {
            return Ok(Some(Unmet { current: revision }));
        }
    }
    Ok(None)
}

/// Whether a condition holds of a key that exists.
fn holds(condition: &v1::Condition, revision: u64, value: &[u8]) -> bool {
    let ordering = match &condition.test {
        Some(Test::Revision(named)) => revision.cmp(named),
        Some(Test::Value(named)) => value.cmp(named),
        Some(Test::Exists(_)) | None => return false,
    };
    match condition.relation() {
        Relation::Unspecified | Relation::Equal => ordering == Ordering::Equal,
        Relation::NotEqual => ordering != Ordering::Equal,
        Relation::Less => ordering == Ordering::Less,
        Relation::Greater => ordering == Ordering::Greater,
    }
}

fn carry_out(
    staged: &mut Staged<'_>,
    clock: Clock,
    operation: &Operation,
    budget: &mut Budget,
) -> Result<Answer, Stop> {
    Ok(match operation {
        Operation::Get(get) => Answer::Get(match staged.get(&get.key)? {
            Some(found) => {
                budget.answer(found.value.len())?;
                v1::GetAnswer {
                    found: true,
                    value: found.value,
                    value_revision: found.revision,
                    expiry_milliseconds: found.expiry.map_or(0, |expiry| expiry.0),
                }
            }
            None => v1::GetAnswer::default(),
        }),
        Operation::Scan(scan) => Answer::Scan(read_range(staged, scan, budget)?),
        Operation::Count(count) => {
            let mut counted = 0;
            for entry in staged.entries(&count.range.clone().unwrap_or_default(), false)? {
                budget.visit(&entry?)?;
                counted += 1;
            }
            Answer::Count(v1::CountAnswer { count: counted })
        }
        Operation::Put(put) => {
            let expiry = put.ttl_milliseconds.map(|ttl| Expiry(clock.0.saturating_add(ttl)));
            staged.put(&put.key, Held { value: put.value.clone(), expiry });
            Answer::Put(v1::PutAnswer {})
        }
        Operation::Delete(delete) => {
            let existed = staged.delete(&delete.key)?;
            Answer::Delete(v1::DeleteAnswer { existed })
        }
        Operation::DeleteRange(delete) => {
            let mut keys = Vec::new();
            for entry in staged.entries(&delete.range.clone().unwrap_or_default(), false)? {
                let entry = entry?;
                budget.visit(&entry)?;
                keys.push(entry.key);
            }
            for key in &keys {
                staged.delete(key)?;
            }
            Answer::DeleteRange(v1::DeleteRangeAnswer { deleted: keys.len() as u64 })
        }
        Operation::Increment(increment) => {
            let (before, expiry) = match staged.get(&increment.key)? {
                Some(found) => (number::read(&found.value), found.expiry),
                None => (Some(0), None),
            };
            let before = before.ok_or(Stop::Obstacle(Reason::NotANumber))?;
            let value = before.checked_add(increment.by);
            let value = value.ok_or(Stop::Obstacle(Reason::Overflow))?;
            staged.put(&increment.key, Held { value: number::written(value), expiry });
            Answer::Increment(v1::IncrementAnswer { value })
        }
    })
}

fn read_range(
    staged: &Staged<'_>,
    scan: &v1::ScanOperation,
    budget: &mut Budget,
) -> Result<v1::ScanAnswer, Stop> {
    let most = match scan.limit {
        0 => limits::SCAN_ENTRIES_DEFAULT,
        limit => limit,
    } as usize;
    let mut answer = v1::ScanAnswer::default();
    for entry in staged.entries(&scan.range.clone().unwrap_or_default(), scan.reverse)? {
        let entry = entry?;
        if answer.entries.len() == most {
            answer.more = true;
            break;
        }
        budget.visit(&entry)?;
        let Entry { key, revision, value, .. } = entry;
        let value = if scan.keys_only { Bytes::new() } else { value };
        budget.answer(key.len() + value.len())?;
        answer.entries.push(v1::ScanEntry { key, value, revision });
    }
    Ok(answer)
}
