//! The groups of the partitions, as they describe themselves: who their members
//! are, who leads, and whether one of them can be spared.

use crate::dereference::{Answer, Observed};
use crate::validate::Place;
use doug_client::{PartitionMap, v1};
use doug_proto::ids::NodeId;
use doug_proto::map::Partition;
use std::collections::BTreeSet;

/// A voter this many entries behind its leader has caught up: under load nobody is ever at the
/// very end.
const LAG: u64 = 1_000;

/// Whether a member is there, and has caught up with a leader that has committed up to `commit`.
pub fn has_caught_up(peer: &v1::PeerProgress, commit: u64) -> bool {
    peer.active && peer.match_index + LAG >= commit
}

/// One partition's group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The newest descriptor that is known.
    pub descriptor: Partition,
    /// Who leads it, if anyone does.
    pub leader: Option<Leader>,
}

/// A group's leader, and what it says of the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// Its node.
    pub node: NodeId,
    /// Where that is.
    pub place: Place,
    /// Members that answered it within the last election timeout, itself included.
    pub active: BTreeSet<NodeId>,
    /// Those of them that have caught up.
    pub caught_up: BTreeSet<NodeId>,
}

/// What is known of nodes besides what leaders say of them.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// They answer this operator.
    pub answering: BTreeSet<NodeId>,
    /// Someone said that they are to be replaced.
    pub given_up: BTreeSet<NodeId>,
}

/// All groups of the map.
pub fn groups(map: &PartitionMap, observed: &Observed) -> Vec<Group> {
    map.partitions.iter().map(|partition| group(partition, observed)).collect()
}

fn group(known: &Partition, observed: &Observed) -> Group {
    let leads = |replica: &&v1::ReplicaStatus| {
        replica.partition == known.id && replica.role() == v1::ReplicaRole::Leader
    };
    let found = observed.answers.iter().filter_map(|(place, answer)| {
        Some((place, answer, answer.status.replicas.iter().find(leads)?))
    });
    // Two may believe that they lead; the later term is right.
    let found = found.max_by_key(|(.., replica)| replica.term);
    let said = found.and_then(|(.., replica)| {
        let descriptor = replica.descriptor.as_ref()?;
        Partition::from_wire(descriptor).ok()
    });
    let newer = said.filter(|said| said.generation > known.generation);
    Group {
        descriptor: newer.unwrap_or_else(|| known.clone()),
        leader: found.and_then(|(place, answer, replica)| leader(place, answer, replica)),
    }
}

fn leader(place: &Place, answer: &Answer, replica: &v1::ReplicaStatus) -> Option<Leader> {
    let node = answer.node()?;
    let active = replica.peers.iter().filter(|peer| peer.active);
    let near = |peer: &&v1::PeerProgress| has_caught_up(peer, replica.commit);
    let ids = |peer: &v1::PeerProgress| peer.node.parse().ok();
    Some(Leader {
        node,
        place: place.clone(),
        active: active.clone().filter_map(ids).chain([node]).collect(),
        caught_up: active.filter(near).filter_map(ids).chain([node]).collect(),
    })
}

impl Group {
    /// The partition.
    pub fn id(&self) -> u64 {
        self.descriptor.id
    }

    /// Whether a node holds one of its members, be it on the way in or out.
    pub fn has(&self, node: NodeId) -> bool {
        self.descriptor.members().any(|member| member.node == node)
    }

    /// Whether its members neither change nor are about to.
    pub fn is_at_rest(&self) -> bool {
        self.descriptor.is_at_rest()
    }

    /// Whether its members are on their way to a goal, or there, without any of
    /// these nodes: nothing brings one of them back.
    pub fn is_done_with(&self, nodes: &BTreeSet<NodeId>) -> bool {
        let goal = self.descriptor.goal.iter().flat_map(|goal| &goal.nodes);
        !self.descriptor.members().any(|member| nodes.contains(&member.node))
            && !goal.into_iter().any(|node| nodes.contains(node))
    }

    /// Whether it is leaving members out that are not to be trusted any more.
    pub fn replaces(&self) -> bool {
        self.descriptor.goal.as_ref().is_some_and(|goal| {
            !goal.discarded.is_empty() && goal.cluster == self.descriptor.cluster
        })
    }

    /// Whether it is on its way to other nodes of the cluster that holds it.
    pub fn resizes(&self) -> bool {
        let Some(goal) = &self.descriptor.goal else { return false };
        let Partition { voters, outgoing, .. } = &self.descriptor;
        // Between clusters, no voter is both on its way in and out.
        let stays = outgoing.is_empty() || outgoing.iter().any(|member| voters.contains(member));
        goal.discarded.is_empty() && goal.cluster == self.descriptor.cluster && stays
    }

    /// The cluster it is on its way to, from another one.
    pub fn moving_to(&self) -> Option<&str> {
        let goal = self.descriptor.goal.as_ref()?;
        // Once both decide, the descriptor names the new one already.
        let leaves = goal.cluster != self.descriptor.cluster
            || (!self.descriptor.outgoing.is_empty() && !self.replaces() && !self.resizes());
        leaves.then_some(goal.cluster.as_str())
    }

    /// The cluster that holds it once nothing is under way any more.
    pub fn destination(&self) -> &str {
        self.descriptor.goal.as_ref().map_or(&self.descriptor.cluster, |goal| &goal.cluster)
    }

    /// Why the group cannot do without this voter, in words: it must be at rest, and
    /// every other voter must be up. A majority alone would not do: the next failure
    /// would take it.
    ///
    /// Of others that are given up, too, nothing is expected, if this voter is as dead as
    /// they are and a majority is there without all of them: that has what was
    /// acknowledged.
    pub fn needs(
        &self,
        node: NodeId,
        known: &Known,
        name_of: impl Fn(NodeId) -> String,
    ) -> Option<String> {
        let partition = self.id();
        let Some(leader) = &self.leader else {
            return Some(format!("partition {partition} has no leader"));
        };
        if !self.is_at_rest() {
            return Some(format!("partition {partition} is changing its members"));
        }
        let voters = self.descriptor.voters.iter().map(|voter| voter.node);
        let heard = |node: &NodeId| leader.active.contains(node);
        let dead = |node: &NodeId| !heard(node) && !known.answering.contains(node);
        let expected = |other: &NodeId| {
            *other != node && !(dead(&node) && dead(other) && known.given_up.contains(other))
        };
        let (all, others) = (voters.len(), voters.filter(expected).collect::<Vec<_>>());
        if others.len() <= all / 2 {
            let left = others.len();
            return Some(format!(
                "without the nodes that are given up, only {left} of {all} voters of partition \
                 {partition} are left"
            ));
        }
        // A leader goes on believing in one that has just died, and one that only its
        // peers hear may be about to.
        let up = |other: &&NodeId| heard(other) && known.answering.contains(other);
        if let Some(down) = others.iter().find(|other| !up(other)) {
            return Some(format!(
                "node {} is down as well, and holds partition {partition} too",
                name_of(*down)
            ));
        }
        let behind = others.iter().find(|other| !leader.caught_up.contains(other))?;
        Some(format!("node {} has not caught up with partition {partition} yet", name_of(*behind)))
    }
}

#[cfg(test)]
mod tests;
