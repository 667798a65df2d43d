//! "State machines identical": replicas that applied the same index hold the
//! same bytes, and exactly those that the committed log says.

use super::Violation;
use crate::reference::Reference;
use bytes::Bytes;
use doug_node::apply::Checkpoint;
use doug_storage::tree::ScanRange;
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct Machines {
    /// State blocks by partition and index.
    states: BTreeMap<(u64, u64), Bytes>,
}

const NAME: &str = "state machines identical";

impl Machines {
    pub(super) fn compare(
        &mut self,
        node: &str,
        partition: u64,
        checkpoint: &Checkpoint,
        reference: &Reference,
    ) -> Result<(), Violation> {
        let index = checkpoint.applied.index;
        let wrong = |what: String| {
            Err(Violation::new(NAME, format!("partition {partition} at {index} on {node}: {what}")))
        };
        let state = self.states.entry((partition, index)).or_insert(checkpoint.state.clone());
        if *state != checkpoint.state {
            return wrong("its state block differs from another replica's".to_owned());
        }
        let mut expected = reference.all(index);
        let scan = match checkpoint.view.scan(ScanRange::all(), Some(index)) {
            Ok(scan) => scan,
            Err(error) => return wrong(format!("its tree cannot be scanned: {error}")),
        };
        for entry in scan {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return wrong(format!("its tree cannot be scanned: {error}")),
            };
            let found = (&entry.key, &entry.value, entry.revision);
            let expected = expected.next();
            if expected != Some(found) {
                let describe = |(key, _, at): (&Bytes, &Bytes, u64)| format!("{key:?} of {at}");
                let expected = expected.map_or("nothing more".to_owned(), describe);
                return wrong(format!("it holds {} where {expected} belongs", describe(found)));
            }
        }
        match expected.next() {
            Some((key, _, at)) => wrong(format!("it lacks {key:?} of {at}")),
            None => Ok(()),
        }
    }
}
