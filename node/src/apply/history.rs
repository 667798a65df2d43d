//! How far back a partition can be read: what the log says of it, and what the log should say.

use doug_proto::map::History;
use doug_proto::v1::{self, command};
use doug_storage::simulation::{Bug, has_bug};
use doug_storage::table::TimedBatch;
use std::collections::VecDeque;
use std::time::Duration;

/// The oldest state of a partition that can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Floor {
    /// The least revision.
    pub revision: u64,
    /// The stamp of its batch: the least time.
    pub stamp: u64,
}

impl Floor {
    /// The wire form.
    pub fn to_wire(self) -> v1::HistoryFloor {
        v1::HistoryFloor { revision: self.revision, stamp: self.stamp }
    }

    /// Reads the wire form.
    pub fn from_wire(wire: v1::HistoryFloor) -> Self {
        Self { revision: wire.revision, stamp: wire.stamp }
    }
}

/// What the log has said: the same on every replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The options in force and their generation; none before the first command that brings any.
    pub options: Option<(u64, History)>,
    /// Moved by commands alone. A replica that moved it by itself could refuse what another
    /// still answers.
    pub floor: Floor,
}

impl Kept {
    /// Takes over what a command says, if it is newer.
    pub fn set(&mut self, command: &v1::SetHistoryCommand) {
        let history = command.history.as_ref().map(History::from_wire).unwrap_or_default();
        if self.options.is_none_or(|(generation, _)| generation < command.generation) {
            self.options = Some((command.generation, history));
        }
    }

    /// Raises the floor to what the command at `index` says: never above that command itself,
    /// whoever made it.
    pub fn raise(&mut self, command: &v1::RaiseFloorCommand, index: u64) {
        let floor = Floor::from_wire(command.floor.unwrap_or_default());
        if floor.revision > self.floor.revision && floor.revision < index {
            self.floor = floor;
        }
    }
}

/// The floor rises by no less than this, so that commands that raise it are few.
const LEAST_STEP: Duration = Duration::from_secs(1);
/// Into so many parts time and bytes of a history are divided.
const PARTS: u32 = 16;

/// When revisions were written, and how much since. Every replica counts, so that a new leader
/// knows; what is counted begins at the start of the process.
#[derive(Debug, Default)]
pub struct Ages {
    /// In order; the last one is the newest batch. Two of them are at least half a part of the
    /// history apart, or the one between is left out.
    marks: VecDeque<Mark>,
    /// Bytes of batches applied.
    written: u64,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    batch: TimedBatch,
    /// Bytes written up to its end.
    written: u64,
}

impl Ages {
    /// A batch of so many bytes was applied.
    pub fn note(&mut self, batch: TimedBatch, bytes: u64, history: History) {
        self.written += bytes;
        let mark = Mark { batch, written: self.written };
        let (step, room) = (history.retain.as_millis() as u64, history.max_bytes);
        let parts = u64::from(2 * PARTS);
        if let [.., before, _] = self.marks.make_contiguous()
            && batch.clock - before.batch.clock <= step / parts
            && mark.written - before.written <= room / parts
        {
            self.marks.pop_back();
        }
        self.marks.push_back(mark);
    }

    /// The floor that is due by now, if it is worth a command: no version that was written over
    /// within the time to retain goes, unless more bytes than allowed were written since.
    pub fn due(&self, floor: Floor, history: History) -> Option<Floor> {
        let newest = self.marks.back()?;
        let retain = history.retain.as_millis() as u64;
        let beyond = |mark: &Mark| {
            newest.written - mark.written >= history.max_bytes
                || newest.batch.clock - mark.batch.clock >= retain
        };
        // The marks rise in both, so those that are beyond come first.
        let mark = self.marks.iter().take_while(|mark| beyond(mark)).last()?;
        let due = Floor { revision: mark.batch.last, stamp: mark.batch.stamp };
        let due = if has_bug(Bug::FloorOffByOne) {
            Floor { revision: due.revision + 1, ..due }
        } else {
            due
        };
        let step = history.retain.max(PARTS * LEAST_STEP) / PARTS;
        let risen = (due.stamp >> 16).saturating_sub(floor.stamp >> 16);
        let most = history.max_bytes + history.max_bytes / u64::from(PARTS);
        let of_bytes = newest.written - self.written_at(floor) > most;
        (due.revision > floor.revision && (of_bytes || risen >= step.as_millis() as u64))
            .then_some(due)
    }

    /// Bytes written up to the floor, as far as they were counted.
    fn written_at(&self, floor: Floor) -> u64 {
        let at = self.marks.partition_point(|mark| mark.batch.last <= floor.revision);
        at.checked_sub(1).map_or(0, |at| self.marks[at].written)
    }

    /// Lets go of what nobody asks about any more.
    pub fn forget(&mut self, floor: Floor) {
        while self.marks.get(1).is_some_and(|next| next.batch.last <= floor.revision) {
            self.marks.pop_front();
        }
    }
}

/// The command that a leader should propose now: the options of the keyspace, if the
/// partition does not have them yet, else a higher floor, if one is due.
pub(super) fn wanted(kept: &Kept, ages: &Ages, declared: (u64, History)) -> Option<v1::Command> {
    let command = match kept.options {
        Some((generation, history)) if generation >= declared.0 => {
            let floor = ages.due(kept.floor, history)?.to_wire();
            command::Command::RaiseFloor(v1::RaiseFloorCommand { floor: Some(floor) })
        }
        _ => command::Command::SetHistory(v1::SetHistoryCommand {
            generation: declared.0,
            history: Some(declared.1.to_wire()),
        }),
    };
    Some(v1::Command { command: Some(command) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(last: u64, clock: u64) -> TimedBatch {
        TimedBatch { last, stamp: (clock << 16) + last, clock }
    }

    fn keeping(seconds: u64, max_bytes: u64) -> History {
        History { retain: Duration::from_secs(seconds), max_bytes }
    }

    fn ages(history: History, batches: impl IntoIterator<Item = (TimedBatch, u64)>) -> Ages {
        let mut ages = Ages::default();
        for (batch, bytes) in batches {
            ages.note(batch, bytes, history);
        }
        ages
    }

    #[test]
    fn the_floor_is_the_last_revision_that_is_as_old_as_history_reaches() {
        let history = keeping(60, 1 << 20);
        let ages = ages(history, (0..100).map(|second| (batch(second + 1, second * 1_000), 10)));
        let due = ages.due(Floor::default(), history).expect("it is higher by far");
        assert_eq!(due.revision, 40, "what was written 60 seconds ago is the oldest to be read");
    }

    #[test]
    fn more_bytes_than_allowed_raise_the_floor_however_young() {
        let history = keeping(3_600, 1_000);
        let ages = ages(history, (1..=100).map(|n| (batch(n, 50), 100)));
        let due = ages.due(Floor::default(), history).expect("there is too much");
        assert_eq!(due.revision, 90);
    }

    #[test]
    fn the_floor_rises_in_steps() {
        let history = keeping(160, 1 << 20);
        let ages = ages(history, (0..300).map(|second| (batch(second + 1, second * 1_000), 10)));
        let floor = ages.due(Floor::default(), history).expect("it is due");
        let before =
            |seconds: u64| Floor { revision: 1, stamp: floor.stamp - (seconds << 16) * 1_000 };
        assert_eq!(ages.due(before(9), history), None);
        assert_eq!(ages.due(before(10), history), Some(floor));
    }

    #[test]
    fn marks_stay_few_however_much_is_written() {
        let history = keeping(60, 1 << 40);
        let mut ages = ages(history, (0..600_000).map(|n| (batch(n + 1, n), 10)));
        let floor = ages.due(Floor::default(), history).expect("due");
        ages.forget(floor);
        assert!(ages.marks.len() < 100, "{} marks", ages.marks.len());
        // At most one thirty-second part of a minute older than it might be.
        assert!((600_000 - 60_000 - floor.revision) < 2_000, "{floor:?}");
    }

    #[test]
    fn the_options_of_the_keyspace_come_first_and_by_generation() {
        let mut kept = Kept::default();
        let ages = Ages::default();
        let declared = (3, keeping(5, 7));
        let Some(v1::Command { command: Some(command::Command::SetHistory(set)) }) =
            wanted(&kept, &ages, declared)
        else {
            panic!("the partition has no options yet");
        };
        kept.set(&set);
        assert_eq!(kept.options, Some(declared));
        assert_eq!(wanted(&kept, &ages, declared), None);
        kept.set(&v1::SetHistoryCommand { generation: 2, history: None });
        assert_eq!(kept.options, Some(declared), "an older leader's options change nothing");
    }

    #[test]
    fn a_floor_never_falls_and_never_passes_its_own_command() {
        let mut kept = Kept::default();
        let raise = |kept: &mut Kept, revision, index| {
            let floor = Some(v1::HistoryFloor { revision, stamp: revision });
            kept.raise(&v1::RaiseFloorCommand { floor }, index);
            kept.floor.revision
        };
        assert_eq!(raise(&mut kept, 8, 10), 8);
        assert_eq!(raise(&mut kept, 5, 11), 8);
        assert_eq!(raise(&mut kept, 12, 12), 8);
    }
}
