//! Who will still write how much: room that is promised and not taken yet. Pure, in bytes.
//!
//! A measurement of the volume knows what was written before it, and nothing of what is still to
//! come. So whoever begins something that needs room has it reserved first, and what is reserved
//! counts as if it were used. What has been written is given back only once a measurement has
//! seen it: until then it would count for nothing, neither as used nor as reserved.

use std::collections::BTreeMap;

/// What room is reserved for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Tables that a compaction writes. Its inputs go once it is published, so that what it
    /// takes in the end is nothing.
    Compaction,
    /// A table that a flush writes: the room that its memtable counted for.
    Flush,
    /// Tables of a snapshot that is received.
    Snapshot,
}

/// Names a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HoldId(u64);

#[derive(Debug)]
struct Hold {
    purpose: Purpose,
    /// At first.
    asked: u64,
    /// What is still to be written, as far as measurements know.
    left: u64,
    written: Written,
}

/// Bytes that no measurement has seen.
#[derive(Clone, Copy, Debug, Default)]
struct Written {
    /// Written before the measurement that is under way began: it sees them.
    before: u64,
    /// Written since: it may see them or not.
    since: u64,
}

/// All reservations.
#[derive(Debug, Default)]
pub struct Ledger {
    holds: BTreeMap<HoldId, Hold>,
    next: u64,
    /// What ended reservations had written.
    ended: Written,
}

impl Ledger {
    /// Reserves; whether there is room is for the caller to see.
    pub fn hold(&mut self, purpose: Purpose, bytes: u64) -> HoldId {
        self.next += 1;
        let id = HoldId(self.next);
        let written = Written::default();
        self.holds.insert(id, Hold { purpose, asked: bytes, left: bytes, written });
        id
    }

    /// So many bytes more are on the volume.
    pub fn wrote(&mut self, id: HoldId, bytes: u64) {
        if let Some(hold) = self.holds.get_mut(&id) {
            hold.written.since += bytes;
        }
    }

    /// Ends a reservation: what is not written is free at once.
    pub fn end(&mut self, id: HoldId) {
        if let Some(hold) = self.holds.remove(&id) {
            let Written { before, since } = hold.written;
            self.ended.before += before.min(hold.left);
            self.ended.since += since.min(hold.left.saturating_sub(before));
        }
    }

    /// A measurement begins.
    pub fn measurement_begins(&mut self) {
        let all = self.holds.values_mut().map(|hold| &mut hold.written);
        for written in all.chain([&mut self.ended]) {
            written.before += std::mem::take(&mut written.since);
        }
    }

    /// It has ended: what was written before it began is seen.
    pub fn measurement_ends(&mut self) {
        for hold in self.holds.values_mut() {
            hold.left = hold.left.saturating_sub(std::mem::take(&mut hold.written.before));
        }
        self.ended.before = 0;
    }

    /// Bytes that are promised, or written and not measured.
    pub fn outstanding(&self) -> u64 {
        self.of(|_| true) + self.ended.before + self.ended.since
    }

    /// The same without what compactions take: they give it back.
    pub fn lasting(&self) -> u64 {
        self.outstanding() - self.of(|purpose| purpose == Purpose::Compaction)
    }

    /// Bytes of memtables that flushes have reserved room for: they are promised it already.
    pub fn flushing(&self) -> u64 {
        let flushes = self.holds.values().filter(|hold| hold.purpose == Purpose::Flush);
        flushes.map(|hold| hold.asked).sum()
    }

    fn of(&self, counts: impl Fn(Purpose) -> bool) -> u64 {
        self.holds.values().filter(|hold| counts(hold.purpose)).map(|hold| hold.left).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(ledger: &mut Ledger) {
        ledger.measurement_begins();
        ledger.measurement_ends();
    }

    #[test]
    fn what_is_reserved_counts_until_it_is_written_and_measured() {
        let mut ledger = Ledger::default();
        let hold = ledger.hold(Purpose::Snapshot, 200);
        assert_eq!(ledger.outstanding(), 200);
        ledger.wrote(hold, 150);
        assert_eq!(ledger.outstanding(), 200, "no measurement has seen it");
        measure(&mut ledger);
        assert_eq!(ledger.outstanding(), 50);
        ledger.end(hold);
        assert_eq!(ledger.outstanding(), 0);
    }

    #[test]
    fn what_is_written_while_the_volume_is_measured_counts_until_the_next_time() {
        let mut ledger = Ledger::default();
        let hold = ledger.hold(Purpose::Compaction, 100);
        ledger.wrote(hold, 10);
        ledger.measurement_begins();
        ledger.wrote(hold, 20);
        ledger.measurement_ends();
        assert_eq!(ledger.outstanding(), 90);
        measure(&mut ledger);
        assert_eq!(ledger.outstanding(), 70);
    }

    #[test]
    fn what_an_ended_reservation_wrote_counts_until_it_is_measured() {
        let mut ledger = Ledger::default();
        let hold = ledger.hold(Purpose::Snapshot, 100);
        ledger.wrote(hold, 40);
        ledger.end(hold);
        assert_eq!(ledger.outstanding(), 40);
        measure(&mut ledger);
        assert_eq!(ledger.outstanding(), 0);
    }

    #[test]
    fn more_than_was_reserved_is_never_given_back() {
        let mut ledger = Ledger::default();
        let hold = ledger.hold(Purpose::Flush, 10);
        ledger.wrote(hold, 50);
        measure(&mut ledger);
        ledger.wrote(hold, 50);
        ledger.end(hold);
        assert_eq!(ledger.outstanding(), 0);
    }

    #[test]
    fn what_compactions_take_does_not_last_and_flushes_are_known_apart() {
        let mut ledger = Ledger::default();
        ledger.hold(Purpose::Compaction, 100);
        ledger.hold(Purpose::Flush, 10);
        ledger.hold(Purpose::Snapshot, 1);
        assert_eq!((ledger.outstanding(), ledger.lasting(), ledger.flushing()), (111, 11, 10));
    }
}
