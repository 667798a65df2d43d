//! The watches that wait on a node for something to tell. Pure.

use crate::apply::{Change, Holds};
use crate::work::RequestId;
use bytes::Bytes;
use doug_proto::error::Fault;
use doug_proto::limits;
use doug_proto::routing::holds_one_key;
use doug_proto::v1;
use doug_raft::Time;
use std::collections::BTreeMap;
use std::time::Duration;

/// The changes of a partition are kept in memory for so long after somebody last asked for them.
const INTEREST: Duration = Duration::from_secs(60);

/// An interval of keys.
#[derive(Clone, Debug)]
pub struct Interval {
    start: Bytes,
    /// Empty: to the last key.
    end: Bytes,
}

impl Interval {
    /// That of a watch.
    pub fn of(watch: &v1::WatchRequest) -> Self {
        Self { start: watch.start.clone(), end: watch.end.clone() }
    }

    fn is_of_one_key(&self) -> bool {
        holds_one_key(&self.start, &self.end)
    }

    /// Whether it holds one of these keys, which are sorted.
    fn holds_one_of(&self, keys: &[&Bytes]) -> bool {
        let first = keys.partition_point(|key| **key < self.start);
        keys.get(first).is_some_and(|key| self.holds(key))
    }
}

impl Holds for Interval {
    fn holds(&self, key: &[u8]) -> bool {
        key >= &self.start[..] && (self.end.is_empty() || key < &self.end[..])
    }
}

/// One that waits.
#[derive(Debug)]
struct Waiting {
    request: RequestId,
    interval: Interval,
    until: Time,
}

/// Those of one partition.
#[derive(Debug, Default)]
struct OfPartition {
    /// Those of one key, by that key: there may be thousands, and whoever applies a change of one
    /// key must not look at them all.
    of_key: BTreeMap<Bytes, Vec<Waiting>>,
    /// The others.
    wide: Vec<Waiting>,
    asked: Time,
}

impl OfPartition {
    fn is_empty(&self) -> bool {
        self.of_key.is_empty() && self.wide.is_empty()
    }

    fn add(&mut self, waiting: Waiting) {
        if waiting.interval.is_of_one_key() {
            self.of_key.entry(waiting.interval.start.clone()).or_default().push(waiting);
        } else {
            self.wide.push(waiting);
        }
    }

    fn take(&mut self, is_due: impl Fn(&Waiting) -> bool) -> Vec<RequestId> {
        let mut due = Vec::new();
        for waiting in self.of_key.values_mut().chain([&mut self.wide]) {
            due.extend(waiting.extract_if(.., |waiting| is_due(waiting)));
        }
        self.of_key.retain(|_, waiting| !waiting.is_empty());
        due.into_iter().map(|waiting| waiting.request).collect()
    }

    fn changed(&mut self, changes: &[Change]) -> Vec<RequestId> {
        let mut keys: Vec<&Bytes> = changes.iter().map(|change| &change.key).collect();
        keys.sort_unstable();
        let mut due: Vec<Waiting> =
            keys.iter().filter_map(|key| self.of_key.remove(*key)).flatten().collect();
        due.extend(self.wide.extract_if(.., |waiting| waiting.interval.holds_one_of(&keys)));
        due.into_iter().map(|waiting| waiting.request).collect()
    }
}

/// All of them. At most [`limits::WATCHES`], and each is small: what it is told stands elsewhere.
#[derive(Debug, Default)]
pub struct Watches {
    partitions: BTreeMap<u64, OfPartition>,
    count: usize,
}

impl Watches {
    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.count
    }

    /// Somebody asks what changes in a partition.
    pub fn asked(&mut self, partition: u64, now: Time) {
        self.partitions.entry(partition).or_default().asked = now;
    }

    /// Has a request wait. Its caller must look once more whether there is something to tell: what
    /// was changed since it looked has woken nobody.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED`: too many do.
    pub fn wait(
        &mut self,
        (partition, request): (u64, RequestId),
        interval: Interval,
        until: Time,
    ) -> Result<(), Fault> {
        if self.count >= limits::WATCHES {
            return Err(Fault::exhausted(format!(
                "{} watches wait on this node already, as many as may: ask another, or later",
                limits::WATCHES
            )));
        }
        self.count += 1;
        let of = self.partitions.entry(partition).or_default();
        of.add(Waiting { request, interval, until });
        Ok(())
    }

    /// Takes a request back that waits. False if it was woken meanwhile.
    pub fn take_back(&mut self, partition: u64, request: RequestId) -> bool {
        !self.take(partition, |waiting| waiting.request == request).is_empty()
    }

    /// This was changed in a partition: those that are to be told.
    pub fn changed(&mut self, partition: u64, changes: &[Change]) -> Vec<RequestId> {
        let Some(of) = self.partitions.get_mut(&partition) else { return Vec::new() };
        let due = of.changed(changes);
        self.count -= due.len();
        due
    }

    /// Something was changed in a partition: all of its watches must look.
    pub fn skipped(&mut self, partition: u64) -> Vec<RequestId> {
        self.take(partition, |_| true)
    }

    /// Those that have waited long enough.
    pub fn expired(&mut self, now: Time) -> Vec<RequestId> {
        let ids: Vec<u64> = self.partitions.keys().copied().collect();
        ids.into_iter().flat_map(|id| self.take(id, |waiting| waiting.until <= now)).collect()
    }

    /// The partitions whose changes nobody has asked for since long: they need not be kept.
    pub fn forgotten(&mut self, now: Time) -> Vec<u64> {
        let is_forgotten = |of: &OfPartition| of.is_empty() && now.since(of.asked) >= INTEREST;
        let gone = self.partitions.iter().filter(|(_, of)| is_forgotten(of)).map(|(id, _)| *id);
        let gone: Vec<u64> = gone.collect();
        gone.iter().for_each(|id| drop(self.partitions.remove(id)));
        gone
    }

    fn take(&mut self, partition: u64, is_due: impl Fn(&Waiting) -> bool) -> Vec<RequestId> {
        let Some(of) = self.partitions.get_mut(&partition) else { return Vec::new() };
        let due = of.take(is_due);
        self.count -= due.len();
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(start: &'static str, end: &'static str) -> Interval {
        Interval { start: start.into(), end: end.into() }
    }

    fn change(key: &'static str) -> Change {
        Change { revision: 1, stamp: 1, key: key.into(), value: None }
    }

    #[test]
    fn a_change_wakes_those_whose_interval_holds_its_key_and_nobody_else() {
        let mut watches = Watches::default();
        let mut wait = |partition, request, start, end| {
            let interval = interval(start, end);
            watches.wait((partition, RequestId(request)), interval, Time(100)).unwrap();
        };
        wait(1, 1, "a", "c");
        wait(1, 2, "c", "");
        wait(1, 3, "", "");
        wait(1, 5, "b", "b\0");
        wait(1, 6, "c", "c\0");
        wait(2, 4, "", "");
        let woken = watches.changed(1, &[change("b"), change("a")]);
        assert_eq!(woken, [RequestId(5), RequestId(1), RequestId(3)]);
        assert_eq!(watches.changed(1, &[change("b")]), []);
        assert_eq!(watches.skipped(1), [RequestId(6), RequestId(2)]);
        assert!(watches.take_back(2, RequestId(4)) && !watches.take_back(2, RequestId(4)));
        assert_eq!(watches.waiting(), 0);
    }

    #[test]
    fn one_that_has_waited_long_enough_is_answered_and_what_nobody_asks_for_is_forgotten() {
        let mut watches = Watches::default();
        watches.asked(1, Time(5));
        watches.wait((1, RequestId(1)), interval("", ""), Time(100)).unwrap();
        assert_eq!(watches.expired(Time(99)), []);
        let late = Time(5).after(INTEREST);
        assert_eq!(watches.forgotten(late), [0; 0]);
        assert_eq!(watches.expired(late), [RequestId(1)]);
        assert_eq!(watches.forgotten(late), [1]);
    }

    #[test]
    fn one_more_than_may_wait_is_refused() {
        let mut watches = Watches::default();
        let mut wait = |request| watches.wait((1, RequestId(request)), interval("", ""), Time(100));
        (0..limits::WATCHES as u64).for_each(|request| wait(request).unwrap());
        let refused = wait(u64::MAX).unwrap_err();
        assert!(refused.is_not_executed() && refused.message.contains("10000"), "{refused}");
    }
}
