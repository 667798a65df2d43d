//! What the nodes' wall clocks show, as last heard (docs/time.md).

use super::replica::Replica;
use doug_proto::ids::NodeId;
use doug_raft::{Clock, Role, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Clocks not heard for so long say nothing about this node's own.
const RECENT: Duration = Duration::from_secs(10);

/// What a replica has seen of the clocks may be so old when it makes a batch: they go on
/// meanwhile.
const SHOWN_AGE: Duration = Duration::from_millis(10);

/// A clock, and when it was read or heard.
#[derive(Clone, Copy, Debug)]
struct Reading {
    clock: Clock,
    at: Time,
}

impl Reading {
    fn advanced_to(self, now: Time) -> Clock {
        self.clock.advanced(now.since(self.at))
    }
}

/// The wall clocks of this node and of those that hold members of its partitions.
#[derive(Debug)]
pub(super) struct WallClocks {
    own: NodeId,
    shown: BTreeMap<NodeId, Reading>,
}

impl WallClocks {
    pub(super) fn new(own: NodeId) -> Self {
        Self { own, shown: BTreeMap::new() }
    }

    /// This node's clock was read.
    pub(super) fn read_own(&mut self, now: Time, clock: Clock) {
        self.heard(now, self.own, clock);
    }

    /// A node said what its clock shows. The last word counts, also if it is less than the one
    /// before.
    pub(super) fn heard(&mut self, now: Time, node: NodeId, clock: Clock) {
        if clock > Clock(0) {
            self.shown.insert(node, Reading { clock, at: now });
        }
    }

    /// What this node's clock shows.
    pub(super) fn own(&self, now: Time) -> Clock {
        self.of(now, self.own)
    }

    /// What a node's clock shows by now; 0 if it was never heard.
    pub(super) fn of(&self, now: Time, node: NodeId) -> Clock {
        self.shown.get(&node).map_or(Clock(0), |reading| reading.advanced_to(now))
    }

    /// The greatest of what they show by now.
    pub(super) fn latest(&self, now: Time) -> Clock {
        let shown = self.shown.values().map(|reading| reading.advanced_to(now));
        shown.max().unwrap_or(Clock(0))
    }

    /// Shows a replica that makes batches, or may soon, what the clocks of its members' nodes show.
    pub(super) fn show_to(&self, now: Time, replica: &mut Replica) {
        let makes_batches = replica.raft.role() != Role::Follower;
        if !makes_batches || now.since(replica.clocks_seen) < SHOWN_AGE {
            return;
        }
        replica.clocks_seen = now;
        let Replica { raft, places, descriptor, .. } = replica;
        let node_of = |id| places.node_of(descriptor, id);
        raft.observe_clocks(now, |id| node_of(id).map_or(Clock(0), |node| self.of(now, node)));
    }

    /// Forgets nodes that are no peers any more.
    pub(super) fn retain(&mut self, peers: &BTreeSet<NodeId>) {
        let own = self.own;
        self.shown.retain(|node, _| *node == own || peers.contains(node));
    }

    /// By how many milliseconds this node's clock is ahead of the median of the others heard
    /// lately, or behind it if negative. Of two medians the nearer one counts: with two others, of
    /// which one is faulty, the good ones agree. 0 while none is heard.
    pub(super) fn offset(&self, now: Time) -> i64 {
        let others = self.shown.iter().filter(|(node, _)| **node != self.own);
        let lately = others.filter(|(_, reading)| now.since(reading.at) <= RECENT);
        let mut others: Vec<u64> = lately.map(|(_, reading)| reading.advanced_to(now).0).collect();
        let own = self.own(now);
        if others.is_empty() || own == Clock(0) {
            return 0;
        }
        others.sort_unstable();
        let middles = [others[(others.len() - 1) / 2], others[others.len() / 2]];
        let offsets = middles.map(|middle| own.0 as i64 - middle as i64);
        offsets.into_iter().min_by_key(|offset| offset.abs()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clocks(own: u64, others: &[u64]) -> WallClocks {
        let mut clocks = WallClocks::new(NodeId::from_bits(1));
        clocks.read_own(Time(0), Clock(own));
        for (bits, clock) in (2..).zip(others) {
            clocks.heard(Time(0), NodeId::from_bits(bits), Clock(*clock));
        }
        clocks
    }

    #[test]
    fn a_clock_goes_on_from_where_it_was_heard_for_a_second_at_most() {
        let clocks = clocks(5_000, &[7_000]);
        let other = NodeId::from_bits(2);
        assert_eq!(clocks.of(Time(300_000), other), Clock(7_300));
        assert_eq!(
            clocks.of(Time(3_600_000_000), other),
            Clock(8_000),
            "the monotone clock may have jumped"
        );
        assert_eq!(clocks.of(Time(0), NodeId::from_bits(9)), Clock(0), "it was never heard");
    }

    #[test]
    fn the_last_word_counts_even_if_it_is_less() {
        let mut clocks = clocks(5_000, &[3_600_000]);
        clocks.heard(Time(1), NodeId::from_bits(2), Clock(5_000));
        assert_eq!(clocks.of(Time(1), NodeId::from_bits(2)), Clock(5_000));
    }

    #[test]
    fn the_faulty_clock_is_off_and_the_good_ones_are_not() {
        assert_eq!(clocks(5_000, &[5_001, 3_605_000]).offset(Time(0)), -1);
        assert_eq!(clocks(3_605_000, &[5_001, 5_000]).offset(Time(0)), 3_599_999);
        assert_eq!(clocks(5_000, &[5_000, 5_001, 5_002, 9_000]).offset(Time(0)), -1);
        assert_eq!(clocks(2_000, &[5_000]).offset(Time(0)), -3_000, "of two nobody knows which");
    }

    #[test]
    fn who_hears_nobody_cannot_tell() {
        assert_eq!(clocks(5_000, &[]).offset(Time(0)), 0);
        assert_eq!(clocks(5_000, &[9_000]).offset(Time(0).after(2 * RECENT)), 0);
    }
}
