//! "Watches tell every change once": each committed change of the range, in order, at its stamp and
//! with its value, and none that is not there; whoever goes on from a token misses nothing.

use super::Violation;
use crate::reference::Reference;
use doug_client::{Changes, Range};
use doug_proto::v1::HistoryFloor;
use std::collections::BTreeMap;

const NAME: &str = "watches tell every change once";

/// A watch: its client, and its number there.
pub type WatchId = (usize, usize);

/// How far every watch is in each partition.
#[derive(Debug, Default)]
pub(super) struct Watches {
    places: BTreeMap<(WatchId, u64), u64>,
}

fn broken<T>(watch: WatchId, what: String) -> Result<T, Violation> {
    Err(Violation::new(NAME, format!("watch {} of client {}: {what}", watch.1, watch.0)))
}

impl Watches {
    /// A watch begins at these revisions of its partitions.
    pub(super) fn begins(&mut self, watch: WatchId, places: &[(u64, u64)]) {
        self.places.retain(|(known, _), _| *known != watch);
        self.places.extend(places.iter().map(|(partition, at)| ((watch, *partition), *at)));
    }

    /// A watch is told this.
    pub(super) fn told(
        &mut self,
        watch: WatchId,
        range: &Range,
        changes: &Changes,
        reference: &Reference,
    ) -> Result<(), Violation> {
        let (partition, through) = (changes.partition, changes.through);
        let Some(place) = self.places.get_mut(&(watch, partition)) else {
            return broken(watch, format!("it hears of partition {partition}, and did not ask"));
        };
        let after = std::mem::replace(place, through);
        if through < after || through > reference.last() {
            let last = reference.last();
            return broken(watch, format!("from {after} it goes to {through}, of {last}"));
        }
        let expected = reference.changes(range, after, through);
        let stamp = |revision| reference.batch_at(revision).map_or(0, |b| b.time.stamp.0);
        let expected = expected.into_iter().map(|(revision, key, value)| {
            (revision, stamp(revision), key, value.is_none(), value.cloned().unwrap_or_default())
        });
        let told = changes.events.iter().map(|event| {
            (event.revision, event.stamp, &event.key, event.deleted, event.value.clone())
        });
        if told.clone().eq(expected.clone()) {
            return Ok(());
        }
        let show = |events: &mut dyn Iterator<Item = (u64, u64)>| {
            let shown = events.map(|(revision, stamp)| format!("{revision}@{stamp}"));
            shown.collect::<Vec<_>>().join(" ")
        };
        broken(
            watch,
            format!(
                "partition {partition}, after {after} and up to {through}: told {}; there was {}",
                show(&mut told.map(|event| (event.0, event.1))),
                show(&mut expected.map(|event| (event.0, event.1)))
            ),
        )
    }

    /// A watch has ended, for history does not reach back to where it was, it is said.
    pub(super) fn compacted(
        &self,
        watch: WatchId,
        (partition, floor): (u64, HistoryFloor),
        reference: &Reference,
        may_give_up_history: bool,
    ) -> Result<(), Violation> {
        let place = self.places.get(&(watch, partition)).copied().unwrap_or(0);
        if place < floor.revision && reference.was_floor(floor) || may_give_up_history {
            return Ok(());
        }
        broken(watch, format!("at {place} of partition {partition} it ends: floor {floor:?}"))
    }

    /// A watch that has not been told all yet, if there is one: of which partition what.
    pub(super) fn behind<'a>(
        &self,
        range_of: impl Fn(WatchId) -> Option<Range>,
        reference: impl Fn(u64) -> Option<&'a Reference>,
    ) -> Option<String> {
        self.places.iter().find_map(|((watch, partition), place)| {
            let (range, reference) = (range_of(*watch)?, reference(*partition)?);
            let missing = reference.changes(&range, *place, reference.last());
            let (revision, ..) = missing.first()?;
            let (client, number) = watch;
            Some(format!(
                "watch {number} of client {client} was not told revision {revision} of partition \
                 {partition}: it is at {place}"
            ))
        })
    }
}
