//! Room on the node's volume. What log and memtables may still need is kept for
//! them; writes are refused before anything that must be written finds no room.
//!
//! A log or manifest that cannot be written ends the process, which then could
//! not start again either. Tables can wait: of one that finds no room nothing is
//! lost, so flushes and compactions are tried again.

mod admission;

pub use admission::{Admission, Needs, Room};

use doug_proto::error::Fault;
use doug_raft::Time;
use doug_storage::disk::Space;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Flushes and compactions pause this long after one found no room, in microseconds.
const REST: u64 = 1_000_000;

/// The volume as it was last measured.
#[derive(Debug, Default)]
pub struct Volume {
    state: Mutex<(Option<Room>, Admission)>,
    /// Whether anything is refused: asked for each write, where the lock would cost.
    refuses: AtomicBool,
    rests_until: AtomicU64,
    /// Whether the last compaction that was due found no room.
    cramped: AtomicBool,
}

impl Volume {
    /// Takes a measurement in. Returns what is admitted now, if that has changed.
    pub fn observe(&self, space: Space, needs: Needs) -> Option<Admission> {
        let room = Room::of(space, needs);
        let mut state = self.state.lock();
        let before = state.1;
        let now = room.admission(before);
        *state = (Some(room), now);
        self.refuses.store(now != Admission::Writes, Ordering::Relaxed);
        (now != before).then_some(now)
    }

    /// The last measurement; `None` where the volume cannot be measured.
    pub fn room(&self) -> Option<Room> {
        self.state.lock().0
    }

    /// What is admitted now.
    pub fn admission(&self) -> Admission {
        self.state.lock().1
    }

    /// Refuses a write there is no room for. One that only deletes makes room once it
    /// is compacted, so it may use half of the reserve.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED`, not executed.
    pub fn admit(&self, only_deletes: bool) -> Result<(), Fault> {
        if !self.refuses.load(Ordering::Relaxed) {
            return Ok(());
        }
        match *self.state.lock() {
            (Some(room), Admission::Deletes) if !only_deletes => Err(room.refusal()),
            (Some(room), Admission::Nothing) => Err(room.refusal()),
            _ => Ok(()),
        }
    }

    /// A table found no room.
    pub fn found_none(&self, now: Time) {
        self.rests_until.store(now.0 + REST, Ordering::Relaxed);
    }

    /// Whether tables are to wait before the next try.
    pub fn rests(&self, now: Time) -> bool {
        now.0 < self.rests_until.load(Ordering::Relaxed)
    }

    /// Whether so many bytes leave log and memtables their room.
    pub fn has_room_for(&self, bytes: u64) -> bool {
        self.room().is_none_or(|room| bytes <= room.available)
    }

    /// The same for a compaction; whether one finds room is remembered.
    pub fn has_room_to_compact(&self, bytes: u64) -> bool {
        let room = self.has_room_for(bytes);
        self.cramped.store(!room, Ordering::Relaxed);
        room
    }

    /// Whether compactions find room, as far as is known.
    pub fn compacts(&self) -> bool {
        !self.cramped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Code;

    const NEEDS: Needs = Needs { log: 100, memtables: 28 };

    fn measured(volume: &Volume, free: u64) -> Option<Admission> {
        volume.observe(Space { total: 3_200, free }, NEEDS)
    }

    #[test]
    fn a_volume_that_was_never_measured_refuses_nothing() {
        let volume = Volume::default();
        assert!(volume.admit(false).is_ok());
        assert!(volume.has_room_for(u64::MAX));
    }

    #[test]
    fn a_full_volume_refuses_writes_with_the_figures_and_takes_them_again_when_it_has_grown() {
        let volume = Volume::default();
        assert_eq!(measured(&volume, 300), None);
        assert_eq!(measured(&volume, 227), Some(Admission::Deletes));
        let refused = volume.admit(false).unwrap_err();
        assert_eq!(refused.code, Code::ResourceExhausted);
        assert!(refused.is_not_executed());
        assert!(refused.message.contains("99 of its 3200 bytes"), "{refused}");
        assert!(volume.admit(true).is_ok());
        let grown = Space { total: 6_400, free: 3_427 };
        assert_eq!(volume.observe(grown, NEEDS), Some(Admission::Writes));
        assert!(volume.admit(false).is_ok());
    }

    #[test]
    fn with_half_of_the_reserve_gone_even_deletes_are_refused() {
        let volume = Volume::default();
        assert_eq!(measured(&volume, 177), Some(Admission::Nothing));
        assert!(volume.admit(true).is_err());
    }

    #[test]
    fn after_a_table_without_room_there_is_a_pause() {
        let volume = Volume::default();
        volume.found_none(Time(5_000_000));
        assert!(volume.rests(Time(5_999_999)));
        assert!(!volume.rests(Time(6_000_000)));
    }

    #[test]
    fn a_compaction_never_takes_what_the_log_may_need() {
        let volume = Volume::default();
        measured(&volume, 1_128);
        assert!(volume.has_room_for(1_000));
        assert!(!volume.has_room_for(1_001));
    }

    #[test]
    fn whether_compactions_find_room_is_what_the_last_one_found() {
        let volume = Volume::default();
        measured(&volume, 1_128);
        assert!(volume.compacts());
        assert!(!volume.has_room_to_compact(1_001));
        assert!(!volume.compacts());
        assert!(volume.has_room_to_compact(1_000));
        assert!(volume.compacts());
    }
}
