//! "Old programs meet nothing new": a partition's level rises only once all members run programs
//! that support it, never falls, and nothing of a level reaches a program below it.

use super::Violation;
use doug_proto::ids::NodeId;
use doug_storage::ReplicaKey;
use std::collections::BTreeMap;

/// Which programs run, and which levels have been raised.
#[derive(Debug, Default)]
pub struct Versions {
    /// The level that each node's program supports, or did when it last ran.
    runs: BTreeMap<NodeId, u32>,
    /// The greatest level that each partition's leaders have put into a log.
    raised: BTreeMap<u64, u32>,
    /// The levels that nodes need for what their groups' logs may hold.
    needed: BTreeMap<NodeId, u32>,
    /// Where each partition's level was first seen applied.
    applied: BTreeMap<u64, (u64, u32)>,
}

impl Versions {
    /// A node starts a program that supports this level.
    pub fn starts(&mut self, node: NodeId, level: u32) {
        self.runs.insert(node, level);
    }

    /// Whether a node's replicas are of a group that has gone beyond this level.
    #[must_use]
    pub fn needs(&self, node: NodeId, level: u32) -> bool {
        self.needed.get(&node).is_some_and(|needed| *needed > level)
    }

    /// A leader puts a level into a partition's log.
    ///
    /// # Errors
    /// One of them does not support it.
    pub fn raises(
        &mut self,
        leader: &str,
        (partition, level): (u64, u32),
        members: impl IntoIterator<Item = NodeId>,
    ) -> Result<(), Violation> {
        let greatest = self.raised.entry(partition).or_default();
        *greatest = level.max(*greatest);
        for node in members {
            let needed = self.needed.entry(node).or_default();
            *needed = level.max(*needed);
            let runs = self.runs.get(&node).copied().unwrap_or(level);
            if runs < level {
                let what = format!(
                    "{leader} raises partition {partition} to level {level}, and member {node} \
                     runs a program of level {runs}"
                );
                return Err(Violation::new("old programs meet nothing new", what));
            }
        }
        Ok(())
    }

    /// A leader takes a node in whose program it knows to support `known`, if it knows.
    ///
    /// # Errors
    /// That is less than what the log may hold.
    pub fn takes_in(
        &mut self,
        leader: &str,
        (partition, node): (u64, NodeId),
        known: Option<u32>,
    ) -> Result<(), Violation> {
        let raised = self.raised.get(&partition).copied().unwrap_or(1);
        let needed = self.needed.entry(node).or_default();
        *needed = raised.max(*needed);
        if known.is_some_and(|known| known >= raised) {
            return Ok(());
        }
        let what = format!(
            "{leader} takes {node} into partition {partition}, which is at level {raised}, and \
             what it knows of that node's program is {known:?}"
        );
        Err(Violation::new("old programs meet nothing new", what))
    }

    /// A replica has applied everything up to `index`, and is at this level.
    ///
    /// # Errors
    /// The program should not have met this; or the level falls.
    pub fn applied(
        &mut self,
        (name, supports): (&str, u32),
        replica: ReplicaKey,
        (index, level): (u64, u32),
    ) -> Result<(), Violation> {
        let first = self.applied.entry(replica.partition).or_insert((index, level));
        if level > first.1 {
            *first = (index, level);
        } else if level == first.1 {
            first.0 = index.min(first.0);
        } else if index >= first.0 {
            let what = format!(
                "{name} is at level {level} in partition {} at {index}, and it was at {} at {}",
                replica.partition, first.1, first.0
            );
            return Err(Violation::new("levels never fall", what));
        }
        if level <= supports {
            return Ok(());
        }
        let what = format!(
            "{name}, whose program is of level {supports}, meets level {level} in {replica}"
        );
        Err(Violation::new("old programs meet nothing new", what))
    }
}
