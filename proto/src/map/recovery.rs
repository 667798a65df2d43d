//! The record of a group that began anew from one replica.

use super::Partition;
use crate::error::Fault;
use crate::ids::NodeId;
use crate::v1;
use tonic::Code;

/// So many records a descriptor keeps: it is written with every flush.
pub const RECOVERIES_KEPT: usize = 8;

/// Generations and ids of replicas that are skipped at a recovery: the lost group cannot have
/// given so many since, so whatever returns of it is older than the new group, and known as such.
pub const RECOVERY_STRIDE: u64 = 1 << 32;

/// Bytes that the name of whoever asked for a recovery may have.
pub const RECOVERED_BY_BYTES: usize = 256;

/// Says that a group lost its quorum for good, and began anew from one replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// When, by the wall clock of its node: milliseconds since 1970.
    pub at_milliseconds: u64,
    /// Who asked for it.
    pub by: String,
    /// The replica whose log survived.
    pub replica: u64,
    /// Its node then.
    pub node: NodeId,
    /// Up to here a survivor knew the log committed.
    pub committed: u64,
    /// Where the log that survived ended.
    pub kept: u64,
    /// The term there.
    pub kept_term: u64,
    /// The first index that the new group can have used.
    pub resumed: u64,
    /// The first id that a replica of the new group can have, the survivor apart.
    pub first_replica: u64,
    /// Nodes that held voters and were given up.
    pub lost: Vec<NodeId>,
}

impl Recovery {
    /// The wire form.
    pub fn to_wire(&self) -> v1::Recovery {
        v1::Recovery {
            at_milliseconds: self.at_milliseconds,
            by: self.by.clone(),
            replica: self.replica,
            node: self.node.to_string(),
            committed: self.committed,
            kept: self.kept,
            kept_term: self.kept_term,
            resumed: self.resumed,
            first_replica: self.first_replica,
            lost: self.lost.iter().map(NodeId::to_string).collect(),
        }
    }

    /// Reads the wire form.
    ///
    /// # Errors
    /// A node id that is none.
    pub fn from_wire(wire: &v1::Recovery) -> Result<Self, Fault> {
        let node = |id: &str| id.parse().map_err(|error| Fault::invalid(format!("{error}")));
        Ok(Self {
            at_milliseconds: wire.at_milliseconds,
            by: wire.by.clone(),
            replica: wire.replica,
            node: node(&wire.node)?,
            committed: wire.committed,
            kept: wire.kept,
            kept_term: wire.kept_term,
            resumed: wire.resumed,
            first_replica: wire.first_replica,
            lost: wire.lost.iter().map(|id| node(id)).collect::<Result<_, _>>()?,
        })
    }
}

impl Partition {
    /// The descriptor after one more recovery.
    ///
    /// Where there were too many, the first one gives its record up to the second: what it put in
    /// doubt stays in doubt, though more is refused then than need be.
    #[must_use]
    pub fn recovered(mut self, recovery: Recovery) -> Self {
        self.recoveries.push(recovery);
        if self.recoveries.len() > RECOVERIES_KEPT {
            let gone = self.recoveries.remove(0);
            let first = &mut self.recoveries[0];
            first.committed = first.committed.min(gone.committed);
        }
        self
    }

    /// Whether a replica is of a group that was lost, and nobody may listen to it ever again.
    #[must_use]
    pub fn is_of_lost_group(&self, replica: u64) -> bool {
        let last = self.recoveries.last();
        last.is_some_and(|last| replica < last.first_replica && replica != last.replica)
    }

    /// Whether the last recovery gave this node up, and it has no part in the group since: its
    /// place may be another's.
    #[must_use]
    pub fn gave_up(&self, node: NodeId) -> bool {
        let wanted = self.goal.iter().flat_map(|goal| &goal.nodes).copied();
        let mut present = self.members().map(|member| member.node).chain(wanted);
        self.recoveries.last().is_some_and(|last| last.lost.contains(&node))
            && !present.any(|present| present == node)
    }

    /// Why what a client saw at this revision cannot be told to be there: a recovery may have
    /// lost it. Without end: the answer is the same at every replica, and stays so.
    #[must_use]
    pub fn lost_revision(&self, revision: u64) -> Option<Fault> {
        let lost =
            self.recoveries.iter().find(|r| r.committed < revision && revision < r.resumed)?;
        Some(
            Fault::new(
                Code::FailedPrecondition,
                format!(
                    "revision {revision} of partition {} may be lost: its group lost its quorum \
                     for good and began anew, which left what it knew committed, up to revision \
                     {}. Begin a new session, and read again what you rely on",
                    self.id, lost.committed
                ),
            )
            .not_executed(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::sample;
    use super::*;

    fn recovery(committed: u64, kept: u64, first_replica: u64) -> Recovery {
        Recovery {
            at_milliseconds: 1_700_000_000_000,
            by: "ann".to_owned(),
            replica: 3,
            node: NodeId::from_bits(0xa0),
            committed,
            kept,
            kept_term: 4,
            resumed: kept + 1_000,
            first_replica,
            lost: vec![NodeId::from_bits(0xa1)],
        }
    }

    fn partition() -> Partition {
        sample(1).partitions.remove(0)
    }

    #[test]
    fn a_record_survives_the_wire() {
        let partition = partition().recovered(recovery(10, 12, 100));
        assert_eq!(Partition::decode(&partition.encode()).unwrap(), partition);
    }

    #[test]
    fn what_was_not_known_committed_and_what_the_new_group_skipped_may_be_lost() {
        let partition = partition().recovered(recovery(10, 12, 100));
        let lost = |revision| partition.lost_revision(revision).is_some();
        assert_eq!(
            [9, 10, 11, 12, 13, 1_011, 1_012].map(lost),
            [false, false, true, true, true, true, false]
        );
    }

    #[test]
    fn every_recovery_keeps_what_it_lost_in_doubt() {
        let partition =
            partition().recovered(recovery(10, 12, 100)).recovered(recovery(2_000, 2_001, 200));
        let lost = |revision| partition.lost_revision(revision).is_some();
        assert_eq!([500, 1_500, 2_001, 3_001].map(lost), [true, false, true, false]);
    }

    #[test]
    fn of_more_than_are_kept_the_first_leaves_its_doubt_behind() {
        let all = 0..=RECOVERIES_KEPT as u64;
        let partition = all.fold(partition(), |partition, round| {
            let end = 10_000 * (round + 1);
            partition.recovered(recovery(end, end + 1, 100 * (round + 1)))
        });
        assert_eq!(partition.recoveries.len(), RECOVERIES_KEPT);
        assert!(partition.lost_revision(10_001).is_some(), "the first one lost it");
        assert!(partition.lost_revision(10_000).is_none());
        assert!(partition.lost_revision(35_000).is_none());
    }

    #[test]
    fn all_that_came_before_are_of_the_lost_group_but_the_survivor() {
        let partition = partition().recovered(recovery(10, 12, 100));
        let refused = |replica| partition.is_of_lost_group(replica);
        assert_eq!([1, 2, 3, 99, 100, 101].map(refused), [true, true, false, true, false, false]);
        assert!(!super::super::testing::sample(1).partitions[0].is_of_lost_group(1));
    }
}
