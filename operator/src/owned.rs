//! Noticing at once what others do to a database's objects.
//!
//! Objects are applied when what is wanted of them changes, and now and then. Whoever deletes a
//! Service or scales a StatefulSet by hand changes nothing that is wanted; so the objects
//! themselves are watched, by their metadata alone. A change makes the database *disturbed*: its
//! objects are applied again.

use crate::context::Context;
use futures::stream::{BoxStream, SelectAll};
use futures::{StreamExt, stream};
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
    let all: SelectAll<BoxStream<'static, Change>> = [
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
    all.map(move |change| {
        if change.disturbs {
            context.disturb(&change.owner.uid);
        }
        (change.namespace, change.owner.name)
    })
}

fn events<K>(
    client: &Client,
    namespace: Option<&str>,
    watch: &watcher::Config,
) -> BoxStream<'static, Change>
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
    let mut seen = Seen::default();
    watcher(api, watch.clone())
        .default_backoff()
        .flat_map(move |event| {
            let changes = match event {
                Ok(Event::Apply(object)) => seen.take(Event::Apply(object.metadata)),
                Ok(Event::Delete(object)) => seen.take(Event::Delete(object.metadata)),
                Ok(Event::InitApply(object)) => seen.take(Event::InitApply(object.metadata)),
                Ok(Event::Init) => seen.take(Event::Init),
                Ok(Event::InitDone) => seen.take(Event::InitDone),
                Err(error) => {
                    let kind = K::kind(&());
                    tracing::warn!("the watch of {kind}s failed and is begun again: {error}");
                    Vec::new()
                }
            };
            stream::iter(changes)
        })
        .boxed()
}

/// What is known of the objects of one kind.
#[derive(Default)]
struct Seen {
    objects: BTreeMap<String, Object>,
    /// How many listings have begun. What the newest does not have went unseen while the watch was
    /// broken.
    listing: u64,
}

/// An object, by its uid.
struct Object {
    /// What changes with its declaration.
    version: String,
    namespace: String,
    owner: OwnerReference,
    /// The last listing that had it.
    listing: u64,
}

/// Something happened to an object.
#[derive(Clone, Debug, PartialEq)]
struct Change {
    namespace: String,
    owner: OwnerReference,
    /// Whether it may differ from what was applied.
    disturbs: bool,
}

impl Seen {
    fn take(&mut self, event: Event<ObjectMeta>) -> Vec<Change> {
        match event {
            Event::Apply(object) | Event::InitApply(object) => {
                self.there(object).into_iter().collect()
            }
            Event::Delete(object) => {
                let gone = object.uid.and_then(|uid| self.objects.remove(&uid));
                gone.map(Object::gone).into_iter().collect()
            }
            Event::Init => {
                self.listing += 1;
                Vec::new()
            }
            Event::InitDone => {
                let newest = self.listing;
                let all = std::mem::take(&mut self.objects).into_iter();
                let (there, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
                    all.partition(|(_, object)| object.listing == newest);
                self.objects = there;
                gone.into_values().map(Object::gone).collect()
            }
        }
    }

    fn there(&mut self, object: ObjectMeta) -> Option<Change> {
        let uid = object.uid?;
        // A status that changes is none of this: where objects have one, they have a generation.
        let generation = object.generation.map(|generation| generation.to_string());
        let version = generation.or(object.resource_version)?;
        let owners = object.owner_references.into_iter().flatten();
        let owner = owners.into_iter().find(|owner| owner.controller == Some(true))?;
        let namespace = object.namespace?;
        let (listing, known) = (self.listing, owner.clone());
        let now = Object { version, namespace: namespace.clone(), owner: known, listing };
        // One that is seen for the first time was just made, or was there at the start.
        let differs = |before: &Object| before.version != now.version;
        let disturbs = self.objects.get(&uid).is_some_and(differs);
        self.objects.insert(uid, now);
        Some(Change { namespace, owner, disturbs })
    }
}

impl Object {
    fn gone(self) -> Change {
        Change { namespace: self.namespace, owner: self.owner, disturbs: true }
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
        let changes = seen.take(event);
        assert_eq!(changes.len(), 1, "it has an owner");
        changes[0].disturbs
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
    fn what_was_deleted_while_the_watch_was_broken_is_noticed_by_the_next_listing() {
        let mut seen = Seen::default();
        seen.take(Event::Init);
        assert!(!disturbs(&mut seen, Event::InitApply(set(1, 10))));
        assert_eq!(seen.take(Event::InitDone), []);
        seen.take(Event::Init);
        assert!(!disturbs(&mut seen, Event::InitApply(set(1, 11))));
        assert_eq!(seen.take(Event::InitDone), [], "it is still there");
        seen.take(Event::Init);
        assert!(disturbs(&mut seen, Event::InitDone));
    }

    #[test]
    fn what_nobody_owns_concerns_nobody() {
        let orphan = ObjectMeta { owner_references: None, ..set(1, 1) };
        assert_eq!(Seen::default().take(Event::Apply(orphan)), []);
    }
}
