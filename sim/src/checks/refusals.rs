//! "A definite failure is one": a write that was reported as never to be applied is not in
//! the committed log, then or later.

use super::Violation;
use crate::history::{Action, Operation, value_number};
use crate::reference::Reference;
use doug_proto::v1::transact_operation::Operation as Step;
use std::collections::{BTreeMap, BTreeSet};

/// Values that must never be written, by partition.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    values: BTreeMap<u64, BTreeSet<u64>>,
}

impl Refusals {
    /// A write was refused for good. One that increments shows in its counter. A delete writes no
    /// value by which it could be known again: one that was applied all the same shows as a key
    /// that is missing without a reason, to the checker of linearizability.
    pub(super) fn note(&mut self, operation: &Operation) {
        if let Action::Put { value, .. } = &operation.action {
            self.values.entry(operation.partition).or_default().insert(value_number(value));
        }
        if let Action::Transact(request) = &operation.action {
            for one in request.then.iter().chain(&request.otherwise) {
                let Some(Step::Put(put)) = &one.operation else { continue };
                let number = value_number(&put.value);
                if number > 0 {
                    self.values.entry(operation.partition).or_default().insert(number);
                }
            }
        }
    }

    pub(super) fn judge(&self, references: &BTreeMap<u64, Reference>) -> Result<(), Violation> {
        for (partition, refused) in &self.values {
            let written = references.get(partition).into_iter().flat_map(Reference::values);
            for (value, at) in written {
                let number = value_number(value);
                if refused.contains(&number) {
                    let what = format!(
                        "partition {partition}: write {number} was reported as not executed, and \
                         stands at {at}"
                    );
                    return Err(Violation::new("a definite failure is one", what));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Condition;
    use bytes::Bytes;
    use doug_node::work::encode_command;
    use doug_proto::v1::{self, transact_operation};

    fn put(value: u64) -> Operation {
        let value = Bytes::copy_from_slice(&value.to_be_bytes());
        let (keys, condition) = (vec![Bytes::from_static(b"k")], Condition::None);
        Operation {
            client: 0,
            partition: 1,
            action: Action::Put { keys, value, condition },
            asked: crate::time::SimTime::ZERO,
            answered: None,
            staleness: None,
            server: 0,
            tries: 1,
        }
    }

    fn committed(value: u64) -> BTreeMap<u64, Reference> {
        let value = Bytes::copy_from_slice(&value.to_be_bytes());
        let put = v1::PutOperation { key: Bytes::from_static(b"k"), value, ..Default::default() };
        let operation = Some(transact_operation::Operation::Put(put));
        let write = v1::WriteCommand {
            then: vec![v1::TransactOperation { operation }],
            ..Default::default()
        };
        let command = v1::Command { command: Some(v1::command::Command::Write(write)) };
        let mut reference = Reference::default();
        reference.commit_commands(1, &[encode_command(&command)]);
        BTreeMap::from([(1, reference)])
    }

    #[test]
    fn a_write_that_was_refused_for_good_must_not_be_committed() {
        let mut refusals = Refusals::default();
        refusals.note(&put(7));
        assert_eq!(refusals.judge(&committed(8)), Ok(()));
        let violation = refusals.judge(&committed(7)).unwrap_err();
        assert!(violation.what.contains("write 7"), "{violation}");
    }
}
