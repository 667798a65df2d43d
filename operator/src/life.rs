//! Whether a database runs, is left alone, or sleeps (`spec.mode`). Pure.
//!
//! One that sleeps keeps everything but its pods. It comes back as it was, because nothing about it
//! is kept anywhere but on its volumes: nodes that start again are adopted.

use crate::dereference::Observed;
use crate::resizing::shrinking;
use crate::validate::Database;
use doug_crds::{DougClusterStatus, Mode, StatusMap};

/// How a database lives at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It is cared for.
    Awake,
    /// It is looked at, and left as it is.
    Paused,
    /// It has no pods, or is losing them.
    Asleep,
}

/// How a database lives. A cluster or node that leaves must be drained, for which all must be
/// awake: so a database that is to hibernate sleeps once that has gone.
pub fn life(database: &Database, observed: &Observed, status: &DougClusterStatus) -> Life {
    let drains = || {
        !observed.leaving_clusters(database).is_empty()
            || !shrinking(database, observed, status).is_empty()
    };
    match database.spec.mode {
        Mode::Running => Life::Awake,
        Mode::Paused => Life::Paused,
        Mode::Hibernated if drains() => Life::Awake,
        Mode::Hibernated => Life::Asleep,
    }
}

/// The StatefulSets to be woken that nobody declares any more, and how many nodes each had: they
/// left while the database slept, and may hold data. Those that are declared are applied as such.
pub fn to_wake(
    database: &Database,
    observed: &Observed,
    published: Option<&StatusMap>,
) -> Vec<(String, u32)> {
    let asleep = |set: &String| {
        let spec = observed.sets.get(set).and_then(|set| set.spec.as_ref());
        spec.is_some_and(|spec| spec.replicas == Some(0))
    };
    let nodes = |cluster: &str| {
        let listed = published?.clusters.iter().find(|listed| listed.name == cluster);
        listed.map(|listed| listed.nodes)
    };
    let leaving = observed.leaving_clusters(database).into_iter();
    leaving
        .filter_map(|cluster| Some((database.set_name(&cluster), nodes(&cluster)?)))
        .filter(|(set, _)| asleep(set))
        .collect()
}

/// What a status says of nodes that are meant to be silent. Since when they are is forgotten: else
/// each would be given up as lost for `replaceAfter` at the moment it is woken, with its data.
pub fn put_to_sleep(status: &mut DougClusterStatus) {
    for node in &mut status.nodes {
        node.silent_since = None;
        node.message = Some("it hibernates: its volume is kept".to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{meta, resource, spec};
    use crate::validate::validate;
    use k8s_openapi::api::apps::v1::StatefulSet;
    use serde_json::json;

    fn database(mode: &str) -> Database {
        let mut spec = spec();
        spec["mode"] = json!(mode);
        validate(&resource(spec)).unwrap()
    }

    /// The set of a cluster `b`, which is not declared any more.
    fn leaving(replicas: i32) -> Observed {
        let metadata = meta(
            r#"{"name": "orders-b", "labels": {"dougdb.io/cluster": "b"}, "ownerReferences": [{
            "apiVersion": "dougdb.io/v1alpha1", "kind": "DougCluster", "name": "orders",
            "uid": "uid-1", "controller": true}]}"#,
        );
        let mut set = StatefulSet { metadata, ..Default::default() };
        set.spec.get_or_insert_default().replicas = Some(replicas);
        Observed { sets: [("orders-b".to_owned(), set)].into(), ..Observed::default() }
    }

    fn published() -> StatusMap {
        let cluster = |name: &str| json!({"name": name, "nodes": 5});
        serde_json::from_value(json!({
            "formatVersion": 1, "databaseId": "0000000000db", "epoch": 4, "keyspaces": [],
            "clusters": [cluster("a"), cluster("b")], "nodes": [], "partitions": [],
        }))
        .unwrap()
    }

    #[test]
    fn a_database_lives_as_its_mode_says() {
        let lives = ["Running", "Paused", "Hibernated"]
            .map(|mode| life(&database(mode), &Observed::default(), &Default::default()));
        assert_eq!(lives, [Life::Awake, Life::Paused, Life::Asleep]);
    }

    #[test]
    fn a_cluster_that_leaves_is_drained_before_the_database_sleeps() {
        let lives = |mode| life(&database(mode), &leaving(5), &Default::default());
        assert_eq!(lives("Hibernated"), Life::Awake);
        assert_eq!(lives("Paused"), Life::Paused);
    }

    #[test]
    fn one_that_is_to_have_fewer_nodes_is_woken_for_it() {
        let (created, asleep) = (Some("0000000000db".to_owned()), Observed::default());
        let status = DougClusterStatus { database_id: created, ..Default::default() };
        assert_eq!(life(&database("Hibernated"), &asleep, &status), Life::Asleep);
        let status = DougClusterStatus { partition_map: Some(published()), ..status };
        assert_eq!(life(&database("Hibernated"), &asleep, &status), Life::Awake, "it had five");
    }

    #[test]
    fn a_cluster_that_left_while_the_database_slept_is_woken_with_all_its_nodes() {
        let (database, map) = (database("Running"), published());
        assert_eq!(to_wake(&database, &leaving(0), Some(&map)), [("orders-b".to_owned(), 5)]);
        assert_eq!(to_wake(&database, &leaving(5), Some(&map)), []);
        assert_eq!(to_wake(&database, &leaving(0), None), []);
    }

    #[test]
    fn nodes_that_sleep_are_not_missed() {
        let node = doug_crds::NodeStatus {
            name: "a-2".into(),
            silent_since: Some("2026-01-01T12:00:00Z".into()),
            ..Default::default()
        };
        let mut status = DougClusterStatus { nodes: vec![node], ..Default::default() };
        put_to_sleep(&mut status);
        assert_eq!(status.nodes[0].silent_since, None);
    }
}
