//! Room on the node's volume. What log and memtables may still need is kept for
//! them; writes are refused before anything that must be written finds no room.
//!
//! A log or manifest that cannot be written ends the process, which then could
//! not start again either. Tables can wait: of one that finds no room nothing is
//! lost, so flushes and compactions are tried again. But nobody writes tables for
//! which he has not reserved room: two that each find the same bytes free would
//! together take what the log needs.

mod admission;
mod ledger;

pub use admission::{Needs, Room, WriteAdmission, only_deletes};
pub use ledger::{HoldId, Ledger, Purpose};

use doug_proto::error::Fault;
use doug_raft::Time;
use doug_storage::disk::Space;
use doug_storage::simulation::{Bug, has_bug};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Flushes and compactions pause this long after one found no room.
const REST: Duration = Duration::from_secs(1);
/// While writes are refused, memtables are flushed no more often than this: what deletes
/// wrote frees nothing while it is in memory.
const FLUSH_AGAIN: Duration = Duration::from_secs(5);

/// The volume as it was last measured, and what was promised of it since.
#[derive(Debug, Default)]
pub struct Volume {
    state: Mutex<State>,
    /// Whether anything is refused: asked for each write, where the lock would cost.
    refuses: AtomicBool,
    /// Whether so little is left that history is given up for room.
    scarce: AtomicBool,
    rests_until: AtomicU64,
    flushes_at: AtomicU64,
    /// Whether the last compaction that was due found no room.
    cramped: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// Whether it was tried: before, nothing is promised to anybody.
    measured: bool,
    room: Option<Room>,
    needs: Needs,
    admission: WriteAdmission,
    ledger: Ledger,
}

/// Room that is kept for whoever holds this. Dropped, what was not written is free again.
#[derive(Debug)]
pub struct Reservation {
    volume: Arc<Volume>,
    id: HoldId,
    written: u64,
}

impl Reservation {
    /// So many bytes are written altogether.
    pub fn wrote(&mut self, written: u64) {
        let more = written.saturating_sub(self.written);
        if more > 0 {
            self.written = written;
            self.volume.state.lock().ledger.wrote(self.id, more);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.volume.state.lock().ledger.end(self.id);
    }
}

impl Volume {
    /// Measures: `space` asks the volume, `memtables` says what memtables hold.
    /// Returns what is admitted now, if that has changed.
    ///
    /// # Errors
    /// Those of `space`.
    pub fn measure<E>(
        &self,
        space: impl FnOnce() -> Result<Space, E>,
        needs: Needs,
    ) -> Result<Option<WriteAdmission>, E> {
        {
            let mut state = self.state.lock();
            state.measured = true;
            state.ledger.measurement_begins();
        }
        let space = space()?;
        let mut state = self.state.lock();
        state.ledger.measurement_ends();
        // Room for what is being flushed is reserved already.
        let memtables = needs.memtables.saturating_sub(state.ledger.flushing());
        state.needs = Needs { memtables, ..needs };
        let lasting = state.ledger.lasting();
        let room = Room::of(space, state.needs, lasting);
        let before = state.admission;
        state.room = Some(room);
        state.admission = room.admission(before);
        self.refuses.store(state.admission != WriteAdmission::Writes, Ordering::Relaxed);
        self.scarce.store(room.is_scarce(), Ordering::Relaxed);
        Ok((state.admission != before).then_some(state.admission))
    }

    /// The last measurement; `None` where the volume cannot be measured.
    pub fn room(&self) -> Option<Room> {
        self.state.lock().room
    }

    /// What is admitted now.
    pub fn admission(&self) -> WriteAdmission {
        self.state.lock().admission
    }

    /// Bytes that are promised and not written yet.
    pub fn reserved(&self) -> u64 {
        self.state.lock().ledger.outstanding()
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
        let state = self.state.lock();
        match (state.room, state.admission) {
            (Some(room), WriteAdmission::Deletes) if !only_deletes => Err(room.refusal()),
            (Some(room), WriteAdmission::Nothing) => Err(room.refusal()),
            _ => Ok(()),
        }
    }

    /// Reserves room for `bytes`, if so many leave log, memtables and all that is promised to
    /// others their room. Whoever writes has asked here first.
    pub fn reserve(self: &Arc<Self>, purpose: Purpose, bytes: u64) -> Option<Reservation> {
        let mut state = self.state.lock();
        if bytes > state.left_for(purpose) {
            return None;
        }
        let id = state.ledger.hold(purpose, bytes);
        drop(state);
        Some(Reservation { volume: Arc::clone(self), id, written: 0 })
    }

    /// The same for a compaction; whether one finds room is remembered.
    pub fn reserve_to_compact(self: &Arc<Self>, bytes: u64) -> Option<Reservation> {
        let reservation = self.reserve(Purpose::Compaction, bytes);
        self.cramped.store(reservation.is_none(), Ordering::Relaxed);
        reservation
    }

    /// Bytes that memtables may hold in all, so that each of them finds room as a table beside what
    /// others were promised. Compactions do not count: they give back what they take. All that one
    /// can think of before the volume was measured, and where it cannot be.
    pub fn room_for_memtables(&self) -> u64 {
        let state = self.state.lock();
        let Some(room) = state.room else { return u64::MAX };
        // What is being flushed counts as a memtable and as a promise until it is published.
        let taken = state.needs.log + state.ledger.lasting() + room.to_compact();
        (room.free + state.ledger.flushing()).saturating_sub(taken)
    }

    /// Bytes that a compaction could reserve now.
    pub fn room_to_compact(&self) -> u64 {
        self.state.lock().left_for(Purpose::Compaction)
    }

    /// Whether tables are to be looked through for what can be freed: little room is left, or a
    /// compaction found none.
    pub fn wants_room(&self) -> bool {
        self.scarce.load(Ordering::Relaxed) || !self.compacts()
    }

    /// Whether memtables are to be flushed now, however small, for the sake of what they delete.
    pub fn wants_flushes(&self, now: Time) -> bool {
        let due = self.refuses.load(Ordering::Relaxed)
            && now.0 >= self.flushes_at.load(Ordering::Relaxed);
        if due {
            self.flushes_at.store(now.after(FLUSH_AGAIN).0, Ordering::Relaxed);
        }
        due
    }

    /// A table found no room.
    pub fn found_none(&self, now: Time) {
        self.rests_until.store(now.after(REST).0, Ordering::Relaxed);
    }

    /// Whether tables are to wait before the next try.
    pub fn rests(&self, now: Time) -> bool {
        now.0 < self.rests_until.load(Ordering::Relaxed)
    }

    /// Whether compactions find room, as far as is known.
    pub fn compacts(&self) -> bool {
        !self.cramped.load(Ordering::Relaxed)
    }
}

impl State {
    /// What nobody else counts on: nothing before the first measurement. Where the volume cannot
    /// be measured, nobody knows of any end.
    fn left_for(&self, purpose: Purpose) -> u64 {
        let Some(room) = self.room else { return if self.measured { u64::MAX } else { 0 } };
        let Needs { log, memtables } = self.needs;
        // A flush takes the room that its memtable counted for; a snapshot leaves a compaction's.
        let (memtables, compactions) = match purpose {
            Purpose::Flush => (0, 0),
            Purpose::Compaction => (memtables, 0),
            Purpose::Snapshot => (memtables, room.to_compact()),
        };
        let promised = if has_bug(Bug::ReservationIgnored) { 0 } else { self.ledger.outstanding() };
        room.free.saturating_sub(log + memtables + compactions).saturating_sub(promised)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use tonic::Code;

    const NEEDS: Needs = Needs { log: 100, memtables: 28 };
    /// What of 3,200 bytes is for compactions alone.
    const TO_COMPACT: u64 = 12;

    fn volume() -> Arc<Volume> {
        Arc::new(Volume::default())
    }

    fn observe(volume: &Volume, space: Space) -> Option<WriteAdmission> {
        let measured: Result<_, Infallible> = volume.measure(|| Ok(space), NEEDS);
        match measured {
            Ok(changed) => changed,
            Err(never) => match never {},
        }
    }

    fn measured(volume: &Volume, free: u64) -> Option<WriteAdmission> {
        observe(volume, Space { total: 3_200, free })
    }

    #[test]
    fn a_volume_that_cannot_be_measured_refuses_nothing() {
        let volume = volume();
        assert!(volume.measure(|| Err(()), NEEDS).is_err());
        assert!(volume.admit(false).is_ok());
        assert!(volume.reserve(Purpose::Snapshot, u64::MAX).is_some());
    }

    /// A snapshot that came right after a start was given the room that the log may need.
    #[test]
    fn before_the_first_measurement_no_room_is_promised() {
        let volume = volume();
        for purpose in [Purpose::Flush, Purpose::Compaction, Purpose::Snapshot] {
            assert!(volume.reserve(purpose, 1).is_none(), "{purpose:?}");
        }
    }

    #[test]
    fn a_full_volume_refuses_writes_with_the_figures_and_takes_them_again_when_it_has_grown() {
        let volume = volume();
        assert_eq!(measured(&volume, 300), None);
        assert_eq!(measured(&volume, 227), Some(WriteAdmission::Deletes));
        let refused = volume.admit(false).unwrap_err();
        assert_eq!(refused.code, Code::ResourceExhausted);
        assert!(refused.is_not_executed());
        assert!(refused.message.contains("99 of its 3200 bytes"), "{refused}");
        assert!(volume.admit(true).is_ok());
        let grown = Space { total: 6_400, free: 3_427 };
        assert_eq!(observe(&volume, grown), Some(WriteAdmission::Writes));
        assert!(volume.admit(false).is_ok());
    }

    #[test]
    fn with_half_of_the_reserve_gone_even_deletes_are_refused() {
        let volume = volume();
        assert_eq!(measured(&volume, 177), Some(WriteAdmission::Nothing));
        assert!(volume.admit(true).is_err());
    }

    #[test]
    fn after_a_table_without_room_there_is_a_pause() {
        let volume = volume();
        volume.found_none(Time(5_000_000));
        assert!(volume.rests(Time(5_999_999)));
        assert!(!volume.rests(Time(6_000_000)));
    }

    #[test]
    fn a_compaction_never_takes_what_the_log_may_need() {
        let volume = volume();
        measured(&volume, 1_128);
        assert!(volume.reserve(Purpose::Compaction, 1_001).is_none());
        assert!(volume.reserve(Purpose::Compaction, 1_000).is_some());
    }

    #[test]
    fn of_two_snapshots_that_each_would_fit_the_second_is_refused_until_the_first_has_ended() {
        let volume = volume();
        measured(&volume, 300 + 128 + TO_COMPACT);
        let first = volume.reserve(Purpose::Snapshot, 200).expect("300 bytes are free");
        assert!(volume.reserve(Purpose::Snapshot, 200).is_none());
        drop(first);
        assert!(volume.reserve(Purpose::Snapshot, 200).is_some());
    }

    #[test]
    fn what_a_snapshot_has_written_counts_once() {
        let volume = volume();
        measured(&volume, 428 + TO_COMPACT);
        let mut first = volume.reserve(Purpose::Snapshot, 200).expect("there is room");
        first.wrote(150);
        assert!(volume.reserve(Purpose::Snapshot, 101).is_none(), "nothing has measured it");
        measured(&volume, 278 + TO_COMPACT);
        assert!(volume.reserve(Purpose::Snapshot, 101).is_none());
        let second = volume.reserve(Purpose::Snapshot, 100).expect("50 are still to come");
        drop((first, second));
    }

    #[test]
    fn writes_are_refused_for_what_snapshots_will_take_but_not_for_what_compactions_give_back() {
        let volume = volume();
        measured(&volume, 300);
        let compaction = volume.reserve(Purpose::Compaction, 150);
        assert_eq!(measured(&volume, 300), None);
        drop(compaction);
        let _snapshot = volume.reserve(Purpose::Snapshot, 100);
        assert_eq!(measured(&volume, 300), Some(WriteAdmission::Deletes));
    }

    #[test]
    fn a_flush_takes_the_room_that_its_memtable_counted_for() {
        let volume = volume();
        measured(&volume, 128);
        assert!(volume.reserve(Purpose::Compaction, 1).is_none());
        let mut flush = volume.reserve(Purpose::Flush, 28).expect("the memtables' room");
        assert_eq!(volume.room().expect("measured").available, 0);
        flush.wrote(28);
        measured(&volume, 128);
        assert_eq!(volume.room_to_compact(), 28, "needed no more, though it is in memory still");
    }

    /// A follower with the fuller volume applied on until no flush of its memtables was granted
    /// any more, and with them in the way no compaction either (seed 19 of the hunting ground).
    #[test]
    fn memtables_have_room_for_what_can_be_flushed_and_leave_a_compaction_some() {
        let volume = volume();
        assert_eq!(volume.room_for_memtables(), u64::MAX, "nothing is known");
        measured(&volume, 100 + 70 + TO_COMPACT);
        assert_eq!(volume.room_for_memtables(), 70);
        let snapshot = volume.reserve(Purpose::Snapshot, 30).expect("there is room");
        assert_eq!(volume.room_for_memtables(), 40);
        let mut flush = volume.reserve(Purpose::Flush, 40).expect("all that memtables may hold");
        assert_eq!(volume.room_for_memtables(), 40, "it is a memtable still");
        flush.wrote(10);
        measured(&volume, 90 + 70 + TO_COMPACT);
        assert_eq!(volume.room_for_memtables(), 40);
        drop((snapshot, flush));
        measured(&volume, 100 + TO_COMPACT - 1);
        assert_eq!(volume.room_for_memtables(), 0);
        assert!(volume.reserve(Purpose::Snapshot, 1).is_none());
    }

    #[test]
    fn whether_compactions_find_room_is_what_the_last_one_found() {
        let volume = volume();
        measured(&volume, 1_128);
        assert!(volume.compacts());
        assert!(volume.reserve_to_compact(1_001).is_none());
        assert!(!volume.compacts());
        assert!(volume.reserve_to_compact(1_000).is_some());
        assert!(volume.compacts());
    }

    #[test]
    fn tables_are_looked_through_where_little_room_is_left_or_a_compaction_found_none() {
        let volume = volume();
        measured(&volume, 128 + 500);
        assert!(!volume.wants_room());
        assert!(volume.reserve_to_compact(501).is_none());
        assert!(volume.wants_room());
        assert!(volume.reserve_to_compact(500).is_some());
        assert!(!volume.wants_room());
        measured(&volume, 128 + 499);
        assert!(volume.wants_room());
    }

    #[test]
    fn while_writes_are_refused_memtables_are_flushed_now_and_then() {
        let volume = volume();
        measured(&volume, 300);
        assert!(!volume.wants_flushes(Time(1)));
        measured(&volume, 200);
        assert!(volume.wants_flushes(Time(1)));
        assert!(!volume.wants_flushes(Time(5_000_000)));
        assert!(volume.wants_flushes(Time(5_000_001)));
    }
}
