//! How much room there is for data, and what is admitted with it. Pure.

use doug_proto::error::Fault;
use doug_proto::v1::{WriteCommand, transact_operation::Operation};
use doug_storage::disk::Space;

/// The part of a volume that is kept free: flushes, compactions and replicas whose
/// tables lie less densely than their leader's live on it.
const RESERVED: u64 = 32;

/// Below so many times that part, what can be freed is freed: 15 % of the volume.
const SCARCE: u64 = 5;

/// What must find room whatever happens, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// What the log may still grow by.
    pub log: u64,
    /// What is in memory, and will be tables.
    pub memtables: u64,
}

/// A volume as it was measured, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// What it holds altogether.
    pub total: u64,
    /// What is not in use.
    pub free: u64,
    /// What of that is left for data once log and memtables have what they need, and flushes
    /// and snapshots what was promised them.
    pub available: u64,
}

/// Which writes are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum WriteAdmission {
    /// All of them.
    #[default]
    Writes,
    /// Those that only delete.
    Deletes,
    /// None.
    Nothing,
}

/// Whether a write makes room, once it is compacted: whichever of its lists is carried out, it
/// only deletes and reads.
#[must_use]
pub fn only_deletes(command: &WriteCommand) -> bool {
    let mut operations = command.then.iter().chain(&command.otherwise);
    operations
        .all(|one| !matches!(one.operation, Some(Operation::Put(_) | Operation::Increment(_))))
}

impl Room {
    /// What a measurement means, where so many bytes are promised.
    #[must_use]
    pub fn of(space: Space, needs: Needs, promised: u64) -> Self {
        let needed = needs.log.saturating_add(needs.memtables).saturating_add(promised);
        let Space { total, free } = space;
        Self { total, free, available: free.saturating_sub(needed) }
    }

    /// Bytes that are kept free.
    #[must_use]
    pub fn reserve(&self) -> u64 {
        self.total / RESERVED
    }

    /// The part of it that nothing but a compaction may take: somebody must still be able to make
    /// room once all others have taken theirs. Half of it is for deletes; the rest is for what was
    /// admitted before, and for what a partition needs to go on reading (a new leader's first
    /// entry has to be applied).
    #[must_use]
    pub fn to_compact(&self) -> u64 {
        self.reserve() / 8
    }

    /// Whether less than five times of what is kept free is left.
    #[must_use]
    pub fn is_scarce(&self) -> bool {
        self.available < self.reserve().saturating_mul(SCARCE)
    }

    /// What is admitted, after `before` was. It takes half as much room again to be
    /// less strict: at the very limit each write would change it.
    #[must_use]
    pub fn admission(&self, before: WriteAdmission) -> WriteAdmission {
        let least = |limit: u64, stricter: bool| if stricter { limit + limit / 2 } else { limit };
        let reserve = self.reserve();
        if self.available < least(reserve / 2, before == WriteAdmission::Nothing) {
            WriteAdmission::Nothing
        } else if self.available < least(reserve, before != WriteAdmission::Writes) {
            WriteAdmission::Deletes
        } else {
            WriteAdmission::Writes
        }
    }

    /// The refusal of a write.
    #[must_use]
    pub fn refusal(&self) -> Fault {
        Fault::exhausted(format!(
            "the volume of this node is full: {} of its {} bytes are left for data, and {} are \
             kept free. It keeps reading, and takes writes again once the volume has grown or \
             deletes have made room",
            self.available,
            self.total,
            self.reserve()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of 3,200 bytes 100 are kept free.
    fn room(available: u64) -> Room {
        Room { total: 3_200, free: available, available }
    }

    #[test]
    fn less_room_admits_less() {
        let admitted =
            [100, 99, 50, 49, 0].map(|left| room(left).admission(WriteAdmission::Writes));
        use WriteAdmission::{Deletes, Nothing, Writes};
        assert_eq!(admitted, [Writes, Deletes, Deletes, Nothing, Nothing]);
    }

    #[test]
    fn at_the_limit_it_does_not_turn_with_every_byte() {
        assert_eq!(room(149).admission(WriteAdmission::Deletes), WriteAdmission::Deletes);
        assert_eq!(room(150).admission(WriteAdmission::Deletes), WriteAdmission::Writes);
        assert_eq!(room(74).admission(WriteAdmission::Nothing), WriteAdmission::Nothing);
        assert_eq!(room(75).admission(WriteAdmission::Nothing), WriteAdmission::Deletes);
        assert_eq!(room(150).admission(WriteAdmission::Nothing), WriteAdmission::Writes);
    }

    #[test]
    fn what_log_and_memtables_need_is_not_available() {
        let space = Space { total: 3_200, free: 1_000 };
        assert_eq!(Room::of(space, Needs { log: 600, memtables: 250 }, 50).available, 100);
        assert_eq!(Room::of(space, Needs { log: 1_200, memtables: 0 }, 0).available, 0);
    }
}
