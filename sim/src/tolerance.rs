//! What disks have lost for good, and how much more of it the guarantees allow: a voter
//! whose data may be gone is a failure until its group has replaced it.

use crate::time::{SimTime, seconds};
use crate::world::World;
use doug_proto::ids::NodeId;
use doug_proto::map::{Goal, Member, Partition};
use doug_raft::Role;
use doug_storage::ReplicaKey;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

/// For how long a goal that was asked for may still be on its way.
const ON_ITS_WAY: Duration = seconds(20);

/// What was lost so far.
#[derive(Debug, Default)]
pub struct Losses {
    /// Nodes whose volumes are gone: nobody has these ids any more.
    volumes: BTreeSet<NodeId>,
    /// Files that were damaged: under which name, and what holds the damage.
    files: BTreeMap<NodeId, BTreeSet<(PathBuf, u64)>>,
    /// Nodes whose logs have lost what they wrote last, until all replicas there are repaired.
    tails: BTreeSet<NodeId>,
    /// Replicas that noticed damage and left their groups, until they are removed.
    fenced: BTreeSet<(NodeId, ReplicaKey)>,
    /// Goals that were asked for: when, and of which partition.
    asked: Vec<(SimTime, u64, Goal)>,
}

impl Losses {
    /// A volume is gone.
    pub fn lose_volume(&mut self, node: NodeId) {
        self.volumes.insert(node);
    }

    /// Whether the volume that belonged to this id is gone.
    pub fn has_lost_volume(&self, node: NodeId) -> bool {
        self.volumes.contains(&node)
    }

    /// A file is damaged.
    pub fn damage(&mut self, node: NodeId, file: (PathBuf, u64)) {
        self.files.entry(node).or_default().insert(file);
    }

    /// The last record of a node's log is damaged.
    pub fn damage_tail(&mut self, node: NodeId) {
        self.tails.insert(node);
    }

    /// Whether files of the node were damaged. Only then may it find damage.
    pub fn was_damaged(&self, node: NodeId) -> bool {
        self.files.contains_key(&node)
    }

    /// A replica leaves its group, because it is damaged.
    pub fn fence(&mut self, node: NodeId, replica: ReplicaKey) {
        self.fenced.insert((node, replica));
    }

    /// Whether a replica has left its group because it is damaged, and is not removed yet.
    pub fn is_fenced(&self, node: NodeId, replica: ReplicaKey) -> bool {
        self.fenced.contains(&(node, replica))
    }

    /// A replica is gone, and so is what was damaged of it.
    pub fn removed(&mut self, node: NodeId, replica: ReplicaKey) {
        self.fenced.remove(&(node, replica));
    }

    /// A partition is asked to go somewhere.
    pub fn asked(&mut self, now: SimTime, partition: u64, goal: Goal) {
        self.asked.retain(|(at, ..)| *at + ON_ITS_WAY > now);
        self.asked.push((now, partition, goal));
    }
}

/// What would be lost.
struct Outlook<'a> {
    world: &'a World,
    /// The node that is to lose something too.
    more: Option<NodeId>,
}

impl World {
    /// Whether the volume of a node may be lost or damaged now.
    pub(crate) fn may_lose(&self, node: usize) -> bool {
        let id = self.nodes[node].id;
        let outlook = Outlook { world: self, more: Some(id) };
        self.cx.database.partitions().into_iter().all(|partition| {
            let (sets, goals) = outlook.sets(partition, None);
            let concerned = sets.iter().flatten().any(|member| member.node == id)
                || goals.iter().any(|goal| goal.nodes.contains(&id));
            // Without a leader nobody knows what a node that is down holds of a later change.
            !concerned || (outlook.tolerates(partition, &sets, &goals) && self.is_led(partition))
        })
    }

    /// Whether a partition may go there, as far as losses are concerned.
    pub(crate) fn may_go(&self, partition: u64, goal: &Goal) -> bool {
        let outlook = Outlook { world: self, more: None };
        let (sets, goals) = outlook.sets(partition, Some(goal));
        outlook.tolerates(partition, &sets, &goals)
    }

    fn is_led(&self, partition: u64) -> bool {
        let processes = self.nodes.iter().filter_map(|node| node.process.as_ref());
        let mut cores = processes.filter_map(|process| process.raft(partition));
        cores.any(|raft| raft.role() == Role::Leader)
    }

    /// The descriptors in force anywhere that runs, and the last committed.
    fn descriptors(&self, partition: u64) -> Vec<Partition> {
        let mut found: Vec<Partition> =
            self.cx.checks.descriptor(partition).cloned().into_iter().collect();
        for process in self.nodes.iter().filter_map(|node| node.process.as_ref()) {
            let context = process.raft(partition).map(|raft| &raft.membership().context);
            if let Some(context) = context.filter(|context| !context.is_empty())
                && let Ok(descriptor) = Partition::decode(context)
                && !found.contains(&descriptor)
            {
                found.push(descriptor);
            }
        }
        found
    }
}

/// The voters once a goal is reached, without those that any goal discards: the next one, which
/// begins with voting them out, may take its place just then.
fn reached(descriptor: &Partition, goals: &[Goal]) -> Vec<Vec<Member>> {
    let discarded = |member: &Member| goals.iter().any(|g| g.discarded.contains(&member.replica));
    let voter = |node: &NodeId| {
        let mut there = descriptor.members().filter(|member| member.node == *node).peekable();
        match there.peek() {
            None => Some(Member { node: *node, replica: 0 }),
            Some(_) => there.find(|member| !discarded(member)),
        }
    };
    goals.iter().map(|goal| goal.nodes.iter().filter_map(voter).collect()).collect()
}

impl Outlook<'_> {
    /// The sets of voters that decide, or may soon; and the goals.
    fn sets(&self, partition: u64, goal: Option<&Goal>) -> (Vec<Vec<Member>>, Vec<Goal>) {
        let descriptors = self.world.descriptors(partition);
        let mut goals: Vec<Goal> =
            descriptors.iter().filter_map(|descriptor| descriptor.goal.clone()).collect();
        let asked = self.world.cx.losses.asked.iter();
        goals.extend(asked.filter(|asked| asked.1 == partition).map(|asked| asked.2.clone()));
        goals.extend(goal.cloned());
        let mut sets = Vec::new();
        for descriptor in descriptors {
            for goal in &goals {
                let mut trusted = descriptor.voters.clone();
                trusted.retain(|voter| !goal.discarded.contains(&voter.replica));
                sets.push(trusted);
            }
            sets.extend(reached(&descriptor, &goals));
            sets.extend([descriptor.voters, descriptor.outgoing]);
        }
        sets.retain(|set| !set.is_empty());
        (sets, goals)
    }

    fn tolerates(&self, partition: u64, sets: &[Vec<Member>], goals: &[Goal]) -> bool {
        let few = |lost: usize, all: usize| lost <= all.saturating_sub(1) / 2;
        sets.iter().all(|set| {
            let lost = set.iter().filter(|member| self.has_lost(partition, **member));
            few(lost.count(), set.len())
        }) && goals.iter().all(|goal| {
            let lost = goal.nodes.iter().filter(|node| self.node_has_lost(**node));
            goal.nodes.is_empty() || few(lost.count(), goal.nodes.len())
        })
    }

    fn has_lost(&self, partition: u64, member: Member) -> bool {
        let key = ReplicaKey { partition, replica: member.replica };
        self.world.cx.losses.fenced.contains(&(member.node, key)) || self.node_has_lost(member.node)
    }

    fn node_has_lost(&self, node: NodeId) -> bool {
        let losses = &self.world.cx.losses;
        if self.more == Some(node) || losses.volumes.contains(&node) {
            return true;
        }
        // Damage is over when its file is gone. Tables are linked under several names; a segment
        // that is renamed is written anew, but for the sectors that do not read: they wait behind
        // what the next segment has written so far.
        let Some(index) = self.world.cx.database.index_of(node) else { return false };
        let process = self.world.nodes[index].process.as_ref();
        if losses.tails.contains(&node) && process.is_none_or(|p| p.ambiguous_tails() > 0) {
            return true;
        }
        let disk = &self.world.nodes[index].disk;
        let lasts = |(path, inode): &(PathBuf, u64)| match path.extension() {
            Some(kind) if kind == "sst" => disk.names_inode(*inode),
            _ => disk.inode(path).is_some() || disk.has_lost_sectors(*inode),
        };
        losses.files.get(&node).is_some_and(|files| files.iter().any(lasts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doug_proto::map::KeyspaceId;

    #[test]
    fn the_next_goal_may_discard_voters_of_a_group_that_the_last_has_made_smaller() {
        let node = NodeId::from_bits;
        let voters = (1..=5).map(|n| Member { node: node(n), replica: 10 + n }).collect();
        let descriptor = Partition {
            id: 1,
            keyspace: KeyspaceId::DEFAULT,
            start: bytes::Bytes::new(),
            end: bytes::Bytes::new(),
            generation: 1,
            cluster: "a".into(),
            voters,
            learners: Vec::new(),
            parents: Vec::new(),
            outgoing: Vec::new(),
            next_replica: 16,
            goal: None,
            recoveries: Vec::new(),
        };
        let goal = |nodes: &[u64], discarded: &[u64]| Goal {
            nodes: nodes.iter().copied().map(node).collect(),
            cluster: "a".into(),
            discarded: discarded.to_vec(),
        };
        let sets = reached(&descriptor, &[goal(&[1, 2, 9], &[]), goal(&[1, 2, 3, 4, 5], &[12])]);
        let ids = |set: &Vec<Member>| set.iter().map(|member| member.replica).collect::<Vec<_>>();
        assert_eq!(ids(&sets[0]), [11, 0], "of the three, one is new and one is discarded");
        assert_eq!(ids(&sets[1]), [11, 13, 14, 15]);
    }
}
