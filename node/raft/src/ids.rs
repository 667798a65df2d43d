//! The numbers everything is named by.

use std::fmt;

/// A term: a period with at most one leader (paper, §5.1). 0 is before the first election.
pub type Term = u64;

/// A position in a partition's log. The first command has index 1; 0 is "before the log".
pub type Index = u64;

/// A Raft group: one contiguous interval of the routing space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub u64);

/// A member of a Raft group. Allocated by the group and never used again, so that whoever forgot a
/// vote cannot vote twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId(pub u64);

/// A read waiting for its index, named by the host; unique among the reads it has open on this
/// replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadId(pub u64);

/// The order of a record among all this replica hands out to be persisted. Strictly increases
/// within a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

macro_rules! display_as_number {
    ($($type:ty),*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
display_as_number!(PartitionId, ReplicaId, ReadId, Ticket);
