//! The last nodes of a cluster that is to have fewer: how long they run, and what stays of them.

use super::is_beyond;
use crate::dereference::{self, Observed};
use crate::groups::Group;
use crate::validate::{Database, Place};
use doug_client::PartitionMap;
use doug_crds::{ClusterSpec, DougClusterStatus, WhenDeleted};
use doug_proto::ids::NodeId;
use doug_proto::map::Node;
use kube::ResourceExt;
use std::collections::{BTreeMap, BTreeSet};

/// A claim that its node has left, and is to be deleted, by its uid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// Whose it was.
    pub place: Place,
    /// The claim's name.
    pub claim: String,
    /// Its uid.
    pub uid: String,
}

/// The place of a node among its cluster's, from its name: 2 of `a-2`.
pub fn ordinal(node: &Node) -> Option<u32> {
    node.name.strip_prefix(&node.cluster)?.strip_prefix('-')?.parse().ok()
}

/// How many pods the StatefulSet of a cluster is to have as it is.
pub fn replicas(database: &Database, observed: &Observed, cluster: &str) -> Option<u32> {
    observed.sets.get(&database.set_name(cluster)).map(dereference::replicas)
}

/// How many nodes each declared cluster is to run: as many as declared, and all of those it has
/// while one beyond them may hold what is needed. Only leaders that say so are believed that none
/// does: silence is no reason to take a node away.
pub fn running(
    database: &Database,
    status: &DougClusterStatus,
    observed: &Observed,
    map: Option<(&PartitionMap, &[Group])>,
) -> BTreeMap<String, u32> {
    let declared = database.spec.clusters.iter();
    declared
        .map(|cluster| (cluster.name.clone(), runs(database, status, observed, map, cluster)))
        .collect()
}

fn runs(
    database: &Database,
    status: &DougClusterStatus,
    observed: &Observed,
    map: Option<(&PartitionMap, &[Group])>,
    cluster: &ClusterSpec,
) -> u32 {
    // Nothing was ever written: whoever asked for too many nodes at first asks for fewer now.
    let never_was = status.database_id.is_none() && status.creation.is_none() && map.is_none();
    if never_was || map.is_some_and(|(map, groups)| can_go(map, groups, cluster)) {
        return cluster.nodes;
    }
    let highest = map.and_then(|(map, _)| highest_member(map, &cluster.name));
    let had = had(database, observed, status, &cluster.name);
    had.into_iter().chain(highest).chain([cluster.nodes]).max().unwrap_or(cluster.nodes)
}

/// How many nodes a cluster has had, by its StatefulSet and by what was published: a StatefulSet
/// of a database that sleeps has none.
fn had(
    database: &Database,
    observed: &Observed,
    status: &DougClusterStatus,
    cluster: &str,
) -> Option<u32> {
    let published = status.partition_map.as_ref();
    let published = published.and_then(|map| map.clusters.iter().find(|one| one.name == cluster));
    replicas(database, observed, cluster).max(published.map(|one| one.nodes))
}

/// Clusters that are declared with fewer nodes than they have.
pub fn shrinking(
    database: &Database,
    observed: &Observed,
    status: &DougClusterStatus,
) -> Vec<String> {
    let created = status.database_id.is_some() || status.creation.is_some();
    let more = |cluster: &&ClusterSpec| {
        had(database, observed, status, &cluster.name).is_some_and(|had| had > cluster.nodes)
    };
    let shrinking = database.spec.clusters.iter().filter(|_| created).filter(more);
    shrinking.map(|cluster| cluster.name.clone()).collect()
}

/// Whether the map says no more nodes than declared, and no partition has a member beyond them or
/// is to get one, as its leader says.
fn can_go(map: &PartitionMap, groups: &[Group], cluster: &ClusterSpec) -> bool {
    let told = map.cluster(&cluster.name).is_none_or(|known| known.nodes <= cluster.nodes);
    let beyond = map.nodes.iter().filter(|node| is_beyond(node, &cluster.name, cluster.nodes));
    let beyond: BTreeSet<NodeId> = beyond.map(|node| node.id).collect();
    told && groups.iter().all(|group| group.leader.is_some() && group.is_done_with(&beyond))
}

/// How many nodes a cluster needs for the last one that has a member to be among them.
fn highest_member(map: &PartitionMap, cluster: &str) -> Option<u32> {
    let members = map.nodes.iter().filter(|node| node.cluster == cluster);
    let members = members.filter(|node| map.partitions_of(node.id).next().is_some());
    members.filter_map(ordinal).max().map(|ordinal| ordinal + 1)
}

/// Claims to be deleted: of nodes that their cluster is not to have any more, if volumes are
/// declared to go, once no pod of theirs is there and the StatefulSet makes none.
pub fn leftovers(
    database: &Database,
    map: &PartitionMap,
    groups: &[Group],
    observed: &Observed,
) -> Vec<Leftover> {
    if database.spec.node.storage.when_deleted != WhenDeleted::Delete {
        return Vec::new();
    }
    let shrunk = database.spec.clusters.iter().filter(|cluster| {
        replicas(database, observed, &cluster.name).is_some_and(|runs| runs <= cluster.nodes)
            && can_go(map, groups, cluster)
    });
    shrunk.flat_map(|cluster| beyond(database, observed, cluster)).collect()
}

fn beyond(database: &Database, observed: &Observed, cluster: &ClusterSpec) -> Vec<Leftover> {
    let set = format!("data-{}-", database.set_name(&cluster.name));
    let found = observed.claims.iter().filter_map(|(claim, object)| {
        let ordinal: u32 = claim.strip_prefix(&set)?.parse().ok()?;
        let place = Place { cluster: cluster.name.clone(), ordinal };
        let left = ordinal >= cluster.nodes
            && observed.pod(database, &place).is_none()
            && object.metadata.deletion_timestamp.is_none();
        left.then_some(Leftover { place, claim: claim.clone(), uid: object.uid()? })
    });
    found.collect()
}
