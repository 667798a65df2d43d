//! "State machines identical": replicas that applied the same index hold the
//! same bytes, and exactly those that the committed log says.

use super::Violation;
use crate::reference::Reference;
use bytes::Bytes;
use doug_node::apply::Checkpoint;
use doug_proto::map::Partition;
use doug_proto::v1;
use doug_storage::tree::{ReadError, ScanRange};
use prost::Message;
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct Machines {
    /// State blocks by partition and index, without the descriptor.
    states: BTreeMap<(u64, u64), Bytes>,
}

const NAME: &str = "state machines identical";

impl Machines {
    pub(super) fn compare(
        &mut self,
        node: &str,
        partition: u64,
        checkpoint: &Checkpoint,
        (reference, descriptor): (&Reference, Option<(&Partition, bool)>),
    ) -> Result<(), Violation> {
        let index = checkpoint.applied.index;
        let wrong = |what: String| {
            Err(Violation::new(NAME, format!("partition {partition} at {index} on {node}: {what}")))
        };
        let mut found = match v1::PartitionState::decode(&checkpoint.state[..]) {
            Ok(found) => found,
            Err(error) => return wrong(format!("its state block is unreadable: {error}")),
        };
        // A replica that joins takes its descriptor from the first configuration in the log.
        let (expected, is_logged) = descriptor.unzip();
        let own = found.descriptor.take();
        let joins = is_logged == Some(false) && own.as_ref().is_some_and(|d| d.generation == 0);
        if !joins && own != expected.map(Partition::to_wire) {
            return wrong(format!("its descriptor is {own:?}, and should be {expected:?}"));
        }
        let found = Bytes::from(found.encode_to_vec());
        let state = self.states.entry((partition, index)).or_insert(found.clone());
        if *state != found {
            return wrong("its state block differs from another replica's".to_owned());
        }
        let expected = reference.sessions_at(index);
        if expected != checkpoint.sessions {
            let differs = expected.iter().zip(&checkpoint.sessions).find(|(a, b)| a != b);
            return wrong(format!(
                "it keeps {} sessions where {} belong; (expected, found) first: {differs:?}",
                checkpoint.sessions.len(),
                expected.len()
            ));
        }
        let mut expected = reference.all(index);
        let scan = match checkpoint.view.scan(ScanRange::all(), Some(index)) {
            Ok(scan) => scan,
            // Nobody can look at it now. It is compared again later.
            Err(ReadError::Storage(error)) if error.is_out_of_descriptors() => return Ok(()),
            Err(error) => return wrong(format!("its tree cannot be scanned: {error}")),
        };
        for entry in scan {
            let entry = match entry {
                Ok(entry) => entry,
                Err(ReadError::Storage(error)) if error.is_out_of_descriptors() => return Ok(()),
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
