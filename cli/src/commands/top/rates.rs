//! From what replicas have counted at two moments to what they serve a second.

use doug_proto::v1::{NodeStatus, ReplicaStatus, StatusResponse};
use std::collections::BTreeMap;
use std::iter::Sum;
use std::time::Duration;

/// What is served, a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Reads: gets, and pages of scans.
    pub reads: f64,
    /// Writes.
    pub writes: f64,
    /// Bytes of the keys and values that reads were answered with.
    pub read_bytes: f64,
    /// Bytes of the requests of writes.
    pub written_bytes: f64,
}

impl Traffic {
    /// Operations of all kinds.
    pub fn operations(&self) -> f64 {
        self.reads + self.writes
    }

    /// Bytes in both directions.
    pub fn bytes(&self) -> f64 {
        self.read_bytes + self.written_bytes
    }
}

impl Sum for Traffic {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            reads: sum.reads + one.reads,
            writes: sum.writes + one.writes,
            read_bytes: sum.read_bytes + one.read_bytes,
            written_bytes: sum.written_bytes + one.written_bytes,
        })
    }
}

/// What each replica serves. One that was not seen twice, or whose node began anew in between, is
/// not in it: nothing is known of it.
#[derive(Debug, Default)]
pub struct Rates(BTreeMap<(String, u64), Traffic>);

impl Rates {
    /// What was served between two looks.
    pub fn between(before: &StatusResponse, after: &StatusResponse) -> Self {
        let nodes = after.nodes.iter().filter_map(|node| {
            Some((before.nodes.iter().find(|former| former.id == node.id)?, node))
        });
        Self(nodes.flat_map(|(former, node)| of_node(former, node)).collect())
    }

    /// What all replicas of a partition serve together; none where nothing is known.
    pub fn of_partition(&self, partition: u64) -> Option<Traffic> {
        self.sum(|(_, of)| *of == partition)
    }

    /// What all replicas on a node serve together; none where nothing is known.
    pub fn of_node(&self, node: &str) -> Option<Traffic> {
        self.sum(|(on, _)| on == node)
    }

    /// What the whole database serves; none where nothing is known.
    pub fn total(&self) -> Option<Traffic> {
        self.sum(|_| true)
    }

    fn sum(&self, of: impl Fn(&(String, u64)) -> bool) -> Option<Traffic> {
        let mut found = self.0.iter().filter(|(replica, _)| of(replica)).peekable();
        found.peek()?;
        Some(found.map(|(_, traffic)| *traffic).sum())
    }
}

/// By the node's own clock: how long the answers were under way does not count.
fn of_node<'a>(
    before: &'a NodeStatus,
    after: &'a NodeStatus,
) -> impl Iterator<Item = ((String, u64), Traffic)> + 'a {
    let passed = after.uptime_milliseconds.checked_sub(before.uptime_milliseconds);
    let passed = passed.filter(|passed| *passed > 0).map(Duration::from_millis);
    after.replicas.iter().filter_map(move |replica| {
        let same = |former: &&ReplicaStatus| {
            (former.partition, former.replica) == (replica.partition, replica.replica)
        };
        let former = before.replicas.iter().find(same)?;
        let traffic = of_replica(former, replica, passed?)?;
        Some(((after.id.clone(), replica.partition), traffic))
    })
}

fn of_replica(before: &ReplicaStatus, after: &ReplicaStatus, passed: Duration) -> Option<Traffic> {
    let (before, after) = (before.served.unwrap_or_default(), after.served.unwrap_or_default());
    let rate =
        |before: u64, after: u64| Some(after.checked_sub(before)? as f64 / passed.as_secs_f64());
    Some(Traffic {
        reads: rate(before.reads, after.reads)?,
        writes: rate(before.writes, after.writes)?,
        read_bytes: rate(before.read_bytes, after.read_bytes)?,
        written_bytes: rate(before.written_bytes, after.written_bytes)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use doug_proto::v1::OperationCounts;

    fn status(uptime_milliseconds: u64, replica: u64, reads: u64) -> StatusResponse {
        let served =
            OperationCounts { reads, writes: 2 * reads, read_bytes: 10 * reads, written_bytes: 0 };
        let replica = |partition| ReplicaStatus {
            partition,
            replica,
            served: Some(served),
            ..Default::default()
        };
        let node = |id: &str| NodeStatus {
            id: id.into(),
            uptime_milliseconds,
            replicas: vec![replica(1), replica(2)],
            ..Default::default()
        };
        StatusResponse { nodes: vec![node("a"), node("b")], ..Default::default() }
    }

    #[test]
    fn what_was_counted_between_two_looks_is_divided_by_the_nodes_own_time() {
        let rates = Rates::between(&status(1_000, 7, 100), &status(3_000, 7, 140));
        let each = Traffic { reads: 20.0, writes: 40.0, read_bytes: 200.0, written_bytes: 0.0 };
        let sum = |count| std::iter::repeat_n(each, count).sum();
        assert_eq!(rates.of_partition(1), Some(sum(2)));
        assert_eq!(rates.of_node("b"), Some(sum(2)));
        assert_eq!(rates.total(), Some(sum(4)));
        assert_eq!(rates.of_partition(3), None);
    }

    #[test]
    fn nothing_is_known_of_a_node_that_began_anew_or_of_a_new_replica() {
        let before = status(9_000, 7, 100);
        for after in [
            // Its process is another one, whose counts began at 0.
            status(2_000, 7, 200),
            status(10_000, 7, 50),
            // The same answer twice.
            status(9_000, 7, 100),
            status(10_000, 8, 200),
        ] {
            assert_eq!(Rates::between(&before, &after).total(), None, "{after:?}");
        }
    }
}
