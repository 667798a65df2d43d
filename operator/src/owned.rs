//! Noticing at once what others do to a database's objects.
//!
//! Objects are applied when what is wanted of them changes, and now and then. Whoever deletes a
//! Service or scales a StatefulSet by hand changes nothing that is wanted; so the objects
//! themselves are watched, by their metadata alone. A change makes the database *disturbed*: its
//! objects are applied again.

use crate::context::Context;
use futures::stream::{BoxStream, SelectAll};
use futures::{StreamExt, future};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

/// The owner of an object that changed.
pub type Owner = (String, String);

/// The DougClusters, as namespace and name, whose objects were changed or deleted; each is
/// remembered as disturbed before it is named. `watch` says which objects are ours.
pub fn changes(
    client: &Client,
    namespace: Option<&str>,
    watch: &watcher::Config,
    context: &Arc<Context>,
) -> impl futures::Stream<Item = Owner> + Send + 'static {
    let all: SelectAll<BoxStream<'static, Event<ObjectMeta>>> = [
        events::<StatefulSet>(client, namespace, watch),
        events::<Deployment>(client, namespace, watch),
        events::<Service>(client, namespace, watch),
        events::<ServiceAccount>(client, namespace, watch),
        events::<NetworkPolicy>(client, namespace, watch),
        events::<PodDisruptionBudget>(client, namespace, watch),
        events::<Role>(client, namespace, watch),
        events::<RoleBinding>(client, namespace, watch),
    ]
    .into_iter()
    .collect();
    let context = context.clone();
    let mut seen = Seen::default();
    all.filter_map(move |event| {
        let named = seen.take(event).map(|change| {
            if change.disturbs {
                context.disturb(&change.owner.uid);
            }
            (change.namespace, change.owner.name)
        });
        future::ready(named)
    })
}

fn events<K>(
    client: &Client,
    namespace: Option<&str>,
    watch: &watcher::Config,
) -> BoxStream<'static, Event<ObjectMeta>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + 'static,
{
    let api = match namespace {
        Some(namespace) => Api::<PartialObjectMeta<K>>::namespaced(client.clone(), namespace),
        None => Api::<PartialObjectMeta<K>>::all(client.clone()),
    };
    watcher(api, watch.clone())
        .default_backoff()
        .filter_map(|event| {
            let event = match event {
                Ok(Event::Apply(object)) => Some(Event::Apply(object.metadata)),
                Ok(Event::Delete(object)) => Some(Event::Delete(object.metadata)),
                Ok(Event::InitApply(object)) => Some(Event::InitApply(object.metadata)),
                Ok(Event::Init | Event::InitDone) => None,
                Err(error) => {
                    let kind = K::kind(&());
                    tracing::warn!("the watch of {kind}s failed and is begun again: {error}");
                    None
                }
            };
            future::ready(event)
        })
        .boxed()
}

/// What is known of the objects that are watched.
#[derive(Default)]
struct Seen {
    /// What changes with an object's declaration, by its uid.
    versions: BTreeMap<String, String>,
}

/// Something happened to an object.
#[derive(Debug, PartialEq)]
struct Change {
    namespace: String,
    owner: OwnerReference,
    /// Whether it may differ from what was applied.
    disturbs: bool,
}

impl Seen {
    fn take(&mut self, event: Event<ObjectMeta>) -> Option<Change> {
        let (object, deleted) = match event {
            Event::Apply(object) | Event::InitApply(object) => (object, false),
            Event::Delete(object) => (object, true),
            Event::Init | Event::InitDone => return None,
        };
        let uid = object.uid.clone()?;
        // A status that changes is none of this: where objects have one, they have a generation.
        let generation = object.generation.map(|generation| generation.to_string());
        let version = generation.or(object.resource_version)?;
        let disturbs = if deleted {
            self.versions.remove(&uid).is_some()
        } else {
            // One that is seen for the first time was just made, or was there at the start.
            self.versions.insert(uid, version.clone()).is_some_and(|old| old != version)
        };
        let owners = object.owner_references.into_iter().flatten();
        let owner = owners.into_iter().find(|owner| owner.controller == Some(true))?;
        Some(Change { namespace: object.namespace?, owner, disturbs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::meta;

    fn set(generation: u32, resource_version: u32) -> ObjectMeta {
        meta(&format!(
            r#"{{"name": "orders-a", "namespace": "shop", "uid": "uid-7",
            "generation": {generation}, "resourceVersion": "{resource_version}",
            "ownerReferences": [{{"apiVersion": "dougdb.io/v1alpha1", "kind": "DougCluster",
            "name": "orders", "uid": "uid-1", "controller": true}}]}}"#
        ))
    }

    fn service(resource_version: u32) -> ObjectMeta {
        ObjectMeta { generation: None, ..set(0, resource_version) }
    }

    fn disturbs(seen: &mut Seen, event: Event<ObjectMeta>) -> bool {
        seen.take(event).expect("it has an owner").disturbs
    }

    #[test]
    fn a_set_that_is_scaled_by_hand_is_noticed_and_its_status_is_not() {
        let mut seen = Seen::default();
        assert!(!disturbs(&mut seen, Event::InitApply(set(1, 10))));
        assert!(!disturbs(&mut seen, Event::Apply(set(1, 11))));
        assert!(disturbs(&mut seen, Event::Apply(set(2, 12))));
    }

    #[test]
    fn a_service_that_is_changed_or_deleted_is_noticed() {
        let mut seen = Seen::default();
        assert!(!disturbs(&mut seen, Event::Apply(service(10))));
        assert!(disturbs(&mut seen, Event::Apply(service(11))));
        assert!(disturbs(&mut seen, Event::Delete(service(12))));
        assert!(!disturbs(&mut seen, Event::Apply(service(13))), "it was made again");
    }

    #[test]
    fn what_nobody_owns_concerns_nobody() {
        let orphan = ObjectMeta { owner_references: None, ..set(1, 1) };
        assert_eq!(Seen::default().take(Event::Apply(orphan)), None);
    }
}
