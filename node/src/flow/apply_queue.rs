//! Committed work of all partitions that waits for the applying thread.
//!
//! One partition's debt stops no other: each has a queue of its own, they are served in
//! turn, and one whose memtables or level 0 are full waits by itself. What a partition
//! may have waiting here is bounded by its host, which counts it.

use doug_raft::Time;
use doug_storage::ReplicaKey;
use doug_storage::tree::Pressure;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Pause of a partition whose flushes or compactions fall behind, before each piece of
/// work: they catch up, and its writers feel it before it must stop.
const SLOW: Duration = Duration::from_millis(1);
/// Pause before work that could not be applied yet is tried again.
const RETRY: Duration = Duration::from_millis(5);
/// Pause before a partition that must stop is looked at again.
const STOP: Duration = Duration::from_millis(2);

/// Work by replica, in order within each.
#[derive(Debug)]
pub struct ApplyQueue<W> {
    lanes: BTreeMap<ReplicaKey, Lane<W>>,
    /// Replicas with work, in the order in which they are served.
    turns: VecDeque<ReplicaKey>,
}

#[derive(Debug)]
struct Lane<W> {
    work: VecDeque<W>,
    not_before: Time,
    /// Its pause for being slow has begun.
    slowed: bool,
}

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<W> {
    /// Apply this.
    Work(W),
    /// All that have work wait for their flushes or compactions: look again then.
    Wait(Time),
    /// Nothing waits.
    Idle,
}

impl<W> Default for ApplyQueue<W> {
    fn default() -> Self {
        Self { lanes: BTreeMap::new(), turns: VecDeque::new() }
    }
}

impl<W> ApplyQueue<W> {
    /// Adds work of a replica behind all it has waiting.
    pub fn push(&mut self, replica: ReplicaKey, work: W) {
        self.lane(replica).work.push_back(work);
    }

    /// Gives back what [`next`](Self::next) gave, to be tried again after a pause, before all
    /// that its replica has waiting.
    pub fn put_back(&mut self, now: Time, replica: ReplicaKey, work: W) {
        let lane = self.lane(replica);
        lane.work.push_front(work);
        lane.not_before = now.after(RETRY);
    }

    fn lane(&mut self, replica: ReplicaKey) -> &mut Lane<W> {
        self.lanes.entry(replica).or_insert_with(|| {
            self.turns.push_back(replica);
            Lane { work: VecDeque::new(), not_before: Time(0), slowed: false }
        })
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// Takes the next piece of work. `pressure` says how the tree of a replica with work
    /// bears more, and has it maintained if it bears none.
    pub fn next(&mut self, now: Time, mut pressure: impl FnMut(ReplicaKey) -> Pressure) -> Next<W> {
        let mut again: Option<Time> = None;
        for _ in 0..self.turns.len() {
            let Some(replica) = self.turns.pop_front() else { break };
            let Some(lane) = self.lanes.get_mut(&replica) else { continue };
            if now >= lane.not_before && lane.may_go_on(now, pressure(replica)) {
                let work = lane.work.pop_front();
                if lane.work.is_empty() {
                    self.lanes.remove(&replica);
                } else {
                    self.turns.push_back(replica);
                }
                return work.map_or(Next::Idle, Next::Work);
            }
            again = Some(again.map_or(lane.not_before, |again| again.min(lane.not_before)));
            self.turns.push_back(replica);
        }
        again.map_or(Next::Idle, Next::Wait)
    }
}

impl<W> Lane<W> {
    fn may_go_on(&mut self, now: Time, pressure: Pressure) -> bool {
        let pause = match pressure {
            Pressure::None => return true,
            // Its pause is over.
            Pressure::Slow if std::mem::take(&mut self.slowed) => return true,
            Pressure::Slow => SLOW,
            Pressure::Stop => STOP,
        };
        self.slowed = pressure == Pressure::Slow;
        self.not_before = now.after(pause);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWES: ReplicaKey = ReplicaKey { partition: 1, replica: 1 };
    const SOUND: ReplicaKey = ReplicaKey { partition: 2, replica: 5 };
    const NOW: Time = Time(1_000_000);

    fn queue() -> ApplyQueue<&'static str> {
        let mut queue = ApplyQueue::default();
        for (replica, work) in [(OWES, "a"), (OWES, "b"), (SOUND, "c"), (SOUND, "d")] {
            queue.push(replica, work);
        }
        queue
    }

    #[test]
    fn partitions_take_turns_and_each_keeps_its_order() {
        let mut queue = queue();
        let mut next = || queue.next(NOW, |_| Pressure::None);
        assert_eq!([next(), next()], [Next::Work("a"), Next::Work("c")]);
        assert_eq!([next(), next()], [Next::Work("b"), Next::Work("d")]);
        assert_eq!(next(), Next::Idle);
    }

    #[test]
    fn the_debt_of_one_partition_stops_no_other() {
        let mut queue = queue();
        let debt = |replica| if replica == OWES { Pressure::Stop } else { Pressure::None };
        assert_eq!(queue.next(NOW, debt), Next::Work("c"));
        assert_eq!(queue.next(NOW, debt), Next::Work("d"));
        let again = NOW.after(STOP);
        assert_eq!(queue.next(NOW, debt), Next::Wait(again));
        assert_eq!(queue.next(again, |_| Pressure::None), Next::Work("a"));
    }

    #[test]
    fn what_is_put_back_comes_first_after_a_pause_and_holds_no_other_up() {
        let mut queue = queue();
        assert_eq!(queue.next(NOW, |_| Pressure::None), Next::Work("a"));
        queue.put_back(NOW, OWES, "rest of a");
        let again = NOW.after(RETRY);
        let at = |queue: &mut ApplyQueue<_>, now| queue.next(now, |_| Pressure::None);
        assert_eq!(at(&mut queue, NOW), Next::Work("c"));
        assert_eq!(at(&mut queue, NOW), Next::Work("d"));
        assert_eq!(at(&mut queue, NOW), Next::Wait(again));
        assert_eq!(at(&mut queue, again), Next::Work("rest of a"));
        assert_eq!(at(&mut queue, again), Next::Work("b"));
        queue.put_back(again, OWES, "rest of b");
        assert_eq!(at(&mut queue, again), Next::Wait(again.after(RETRY)));
    }

    #[test]
    fn a_partition_that_falls_behind_pauses_before_each_piece_of_work() {
        let mut queue = queue();
        let slow = |replica| if replica == OWES { Pressure::Slow } else { Pressure::None };
        assert_eq!(queue.next(NOW, slow), Next::Work("c"));
        assert_eq!(queue.next(NOW, slow), Next::Work("d"));
        let again = NOW.after(SLOW);
        assert_eq!(queue.next(NOW, slow), Next::Wait(again));
        assert_eq!(queue.next(again, slow), Next::Work("a"));
        assert_eq!(queue.next(again, slow), Next::Wait(again.after(SLOW)));
    }
}
