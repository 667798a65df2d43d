//! Which moment of a partition's history a read sees.

use super::answers::ReadFailure;
use crate::apply::ReplicaData;
use doug_proto::error::Fault;
use doug_proto::v1::{self, at::At};
use doug_storage::tree::{ReadError, View};

/// A view, and the revision that it is read at.
pub struct Moment {
    /// What is read.
    pub view: View,
    /// At which revision.
    pub revision: u64,
    /// The least revision of the partition that can be read.
    pub floor: u64,
    partition: u64,
    of_history: bool,
}

impl Moment {
    /// The moment that a request names; without one, what the replica holds now.
    ///
    /// # Errors
    /// A moment before the floor, or one that the replica has not come to.
    pub fn of(replica: &ReplicaData, at: Option<&v1::At>) -> Result<Self, ReadFailure> {
        let partition = replica.key().partition;
        let Some(at) = at.and_then(|at| at.at) else {
            let view = replica.reader().view();
            let (revision, of_history) = (view.revision(), false);
            let floor = replica.history().floor.revision;
            return Ok(Self { view, revision, floor, partition, of_history });
        };
        if let At::Stamp(stamp) = at
            && replica.closed().0 < stamp
        {
            // It was, or it was about to be: another leader has taken that place in the log.
            return Err(Fault::unavailable(format!(
                "partition {partition} has not closed the time asked for: try again"
            ))
            .into());
        }
        // After that look, so that it holds all of that time.
        let view = replica.reader().view();
        // After the view, so that nothing of it is collected beyond this floor.
        let floor = replica.history().floor;
        let revision = match at {
            At::Revision(revision) if revision > view.revision() => {
                return Err(Fault::invalid(format!(
                    "revision {revision} of partition {partition} is in the future: its newest is \
                     {}",
                    view.revision()
                ))
                .into());
            }
            At::Revision(revision) if revision < floor.revision => {
                return Err(Fault::compacted(partition, floor.to_wire()).into());
            }
            At::Stamp(stamp) if stamp < floor.stamp => {
                return Err(Fault::compacted(partition, floor.to_wire()).into());
            }
            At::Revision(revision) => revision,
            // Batches at the floor and below may be listed no longer.
            At::Stamp(stamp) => view.revision_at(stamp)?.max(floor.revision),
        };
        Ok(Self { view, revision, floor: floor.revision, partition, of_history: true })
    }

    /// Why it cannot be read after all. A node whose volume is nearly full gives history up.
    pub fn failed(&self, error: ReadError) -> ReadFailure {
        match error {
            ReadError::RevisionGone { floor, .. } if self.of_history => {
                let floor = v1::HistoryFloor { revision: floor, stamp: 0 };
                Fault::compacted(self.partition, floor).into()
            }
            other => other.into(),
        }
    }
}
