//! What is: the objects of a database as the API server has them, and what its
//! nodes say of themselves.

mod nodes;
mod objects;
mod refusals;

pub use nodes::{Answer, FacadeAnswer, Token, admin};
pub use objects::{any_node_runs, nodes_selector, read_token};

use crate::apply::{Claim, claim};
use crate::build::{CLUSTER, INSTANCE};
use crate::validate::{Database, Place};
use doug_client::PartitionMap;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ContainerStatus, PersistentVolumeClaim, Pod};
use kube::{Client, ResourceExt};
use std::collections::BTreeMap;

/// Everything that a reconciliation looks at.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// StatefulSets by name.
    pub sets: BTreeMap<String, StatefulSet>,
    /// Pods of nodes by name.
    pub pods: BTreeMap<String, Pod>,
    /// Claims of nodes by name.
    pub claims: BTreeMap<String, PersistentVolumeClaim>,
    /// The facade's Deployment.
    pub facade: Option<Deployment>,
    /// Why no pods are made, by the name of the StatefulSet or Deployment.
    pub refused: BTreeMap<String, String>,
    /// What each declared node answered; those that did not are left out.
    pub answers: BTreeMap<Place, Answer>,
    /// Why each silent one did not.
    pub silent: BTreeMap<Place, String>,
    /// What each running facade answered.
    pub facades: Vec<FacadeAnswer>,
}

/// Asks the API server, then every node and facade that has an address.
///
/// # Errors
/// The API server's. A node that does not answer is no error.
pub async fn dereference(
    client: &Client,
    database: &Database,
    token: Option<&Token>,
) -> kube::Result<Observed> {
    let mut observed = objects::fetch(client, database).await?;
    refusals::fetch(client, database, &mut observed).await?;
    nodes::ask(database, token, &mut observed).await;
    Ok(observed)
}

impl Observed {
    /// The map, rebuilt from what nodes say. Per descriptor the higher
    /// generation wins. Facades are not asked: what they know was published.
    pub fn map(&self) -> Option<PartitionMap> {
        let maps = self.answers.values().filter_map(|answer| answer.map.as_ref());
        let mut known: Option<PartitionMap> = None;
        for map in maps {
            known = match known {
                None => Some(map.clone()),
                Some(known) if known.database != map.database => Some(known),
                Some(known) => Some(known.merge(map).unwrap_or(known)),
            };
        }
        known
    }

    /// A declared node's pod.
    pub fn pod(&self, database: &Database, place: &Place) -> Option<&Pod> {
        self.pods.get(&database.pod_name(place))
    }

    /// Whether there is anybody to ask, node or facade.
    pub fn anybody_runs(&self) -> bool {
        self.pods.values().any(|pod| {
            pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running")
        })
    }

    /// Clusters that have a StatefulSet of ours and are not declared any more.
    pub fn leaving_clusters(&self, database: &Database) -> Vec<String> {
        self.leaving_sets(database).map(|(cluster, _)| cluster).collect()
    }

    fn leaving_sets<'a>(
        &'a self,
        database: &'a Database,
    ) -> impl Iterator<Item = (String, &'a StatefulSet)> {
        self.sets.values().filter_map(|set| {
            let cluster = set.labels().get(CLUSTER)?;
            let leaving = !database.spec.clusters.iter().any(|declared| declared.name == *cluster)
                && set.name_any() == database.set_name(cluster)
                && claim(database, &set.metadata) == Claim::Ours;
            leaving.then(|| (cluster.clone(), set))
        })
    }

    /// Every node there is to ask: the declared ones, and those that are not declared any more and
    /// may hold data, be it with their cluster or the last ones of one that is to have fewer.
    pub fn places(&self, database: &Database) -> Vec<Place> {
        let leaving = self.leaving_sets(database).flat_map(|(cluster, set)| {
            (0..replicas(set)).map(move |ordinal| Place { cluster: cluster.clone(), ordinal })
        });
        database.places().chain(leaving).chain(self.last_places(database)).collect()
    }

    /// The nodes that clusters have beyond those declared.
    pub fn last_places(&self, database: &Database) -> Vec<Place> {
        let clusters = database.spec.clusters.iter().filter_map(|cluster| {
            let set = self.sets.get(&database.set_name(&cluster.name))?;
            Some((cluster, replicas(set)))
        });
        let last = clusters.flat_map(|(cluster, runs)| {
            (cluster.nodes..runs).map(|ordinal| Place { cluster: cluster.name.clone(), ordinal })
        });
        last.collect()
    }
}

/// How many pods a StatefulSet is to have.
pub fn replicas(set: &StatefulSet) -> u32 {
    let replicas = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    u32::try_from(replicas).unwrap_or(0)
}

/// Which DougCluster a pod or claim belongs to, from its labels.
pub fn instance_of(object: &impl ResourceExt) -> Option<String> {
    object.labels().get(INSTANCE).cloned()
}

/// Whether Kubernetes counts a pod as ready, which it notices a little later than
/// the pod itself.
pub fn counts_as_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True")
}

/// What the kubelet says of a pod's containers. Those that come before the others are among them:
/// without them the others do not come.
pub fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    pod.status.iter().flat_map(|status| {
        let all = [&status.init_container_statuses, &status.container_statuses];
        all.into_iter().flatten().flatten()
    })
}

/// Whether a pod waits for an image that cannot be had.
pub fn lacks_image(pod: &Pod) -> bool {
    let mut waiting =
        containers(pod).filter_map(|container| container.state.as_ref()?.waiting.as_ref());
    waiting.any(|waiting| waiting.reason.as_deref().is_some_and(is_of_image))
}

/// Whether a container that waits for this reason waits for its image.
pub fn is_of_image(reason: &str) -> bool {
    ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"].contains(&reason)
}
