//! The StatefulSet of a cluster.

use super::labels::{cluster, cluster_metadata};
use super::{Circumstances, access, pods};
use crate::names::TEMPLATE_HASH;
use crate::validate::{Database, bytes};
use doug_crds::{ClusterSpec, Scheduling, Spread, Topology, WhenUnsatisfiable};
use serde_json::{Value, json};

/// The container in which the node runs, among those of others.
pub const CONTAINER: &str = "node";
/// A machine, and what fails with others of its kind.
const MACHINE: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";
/// Replaying the log may take this many tries of two seconds.
const STARTUP_TRIES: u32 = 900;
/// Handing over takes two seconds, requests in flight two more.
const GRACE_SECONDS: u32 = 30;

/// One StatefulSet per cluster. Its pods start together, since none needs
/// another to start; and are replaced only when the operator deletes one, since
/// only it knows whether every partition can do without.
pub fn stateful_set(database: &Database, of: &ClusterSpec, circumstances: &Circumstances) -> Value {
    let labels = cluster(database, &of.name);
    json!({
        "metadata": cluster_metadata(database, &database.set_name(&of.name), &of.name),
        "spec": {
            "replicas": if circumstances.asleep { 0 } else { of.nodes },
            "serviceName": database.set_name(&of.name),
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "OnDelete"},
            "persistentVolumeClaimRetentionPolicy": {
                "whenDeleted": database.spec.node.storage.when_deleted,
                "whenScaled": "Retain",
            },
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {
                    "labels": labels,
                    "annotations": annotations(database, circumstances),
                },
                "spec": pod(database, of, circumstances),
            },
            "volumeClaimTemplates": [claim(database, &labels)],
        },
    })
}

fn annotations(database: &Database, circumstances: &Circumstances) -> Value {
    let mut annotations = pods::annotations(database);
    annotations[TEMPLATE_HASH] = template_hash(database, circumstances).into();
    annotations
}

fn pod(database: &Database, of: &ClusterSpec, circumstances: &Circumstances) -> Value {
    let scheduling = &database.spec.node.scheduling;
    let labels = cluster(database, &of.name);
    let mut pod = json!({
        "serviceAccountName": access::node_name(database),
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": pods::pod_security(circumstances.platform),
        "imagePullSecrets": pods::pull_secrets(database),
        "containers": [container(database, of, circumstances)],
        "volumes": [{
            "name": "token",
            "secret": {"secretName": database.token_name(), "defaultMode": 0o440},
        }],
    });
    if !scheduling.node_selector.is_empty() {
        pod["nodeSelector"] = json!(scheduling.node_selector);
    }
    if !scheduling.tolerations.is_empty() {
        pod["tolerations"] = json!(scheduling.tolerations);
    }
    if let Some(class) = &scheduling.priority_class_name {
        pod["priorityClassName"] = class.clone().into();
    }
    let constraints = constraints(scheduling, &labels);
    if !constraints.is_empty() {
        pod["topologySpreadConstraints"] = constraints.into();
    }
    if scheduling.spread == Spread::Required {
        pod["affinity"] = json!({"podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [{
                "topologyKey": MACHINE, "labelSelector": {"matchLabels": labels},
            }],
        }});
    }
    pod
}

/// How a cluster's nodes, which have these labels, spread over machines and other domains.
fn constraints(scheduling: &Scheduling, labels: &Value) -> Vec<Value> {
    let constraint = |key: &str, when: WhenUnsatisfiable, skew: u32| {
        json!({
            "maxSkew": skew, "topologyKey": key, "whenUnsatisfiable": when,
            "labelSelector": {"matchLabels": labels},
        })
    };
    let over_machines = match scheduling.spread {
        Spread::Preferred => Some(WhenUnsatisfiable::ScheduleAnyway),
        Spread::Required => Some(WhenUnsatisfiable::DoNotSchedule),
        Spread::None => None,
    };
    let machines = over_machines.map(|when| constraint(MACHINE, when, 1));
    let declared = scheduling.topology.iter().map(|topology| {
        let Topology { key, when_unsatisfiable, max_skew, min_domains } = topology;
        let mut declared = constraint(key, *when_unsatisfiable, *max_skew);
        if let Some(least) = min_domains {
            declared["minDomains"] = (*least).into();
        }
        declared
    });
    // Zones may be fewer than nodes, so unasked, spreading over them is only preferred.
    let unasked = scheduling.topology.is_empty() && scheduling.spread != Spread::None;
    let zones = unasked.then(|| constraint(ZONE, WhenUnsatisfiable::ScheduleAnyway, 1));
    machines.into_iter().chain(declared).chain(zones).collect()
}

fn container(database: &Database, of: &ClusterSpec, circumstances: &Circumstances) -> Value {
    let port =
        |name: &str, number: u16| json!({"name": name, "containerPort": number, "protocol": "TCP"});
    let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}});
    json!({
        "name": CONTAINER,
        "image": circumstances.image,
        "args": arguments(database, of),
        "env": [
            field("POD_NAME", "metadata.name"),
            field("POD_INDEX", "metadata.labels['apps.kubernetes.io/pod-index']"),
        ],
        "ports": [port("doug", 7400), port("raft", 7401), port("admin", 7402), port("http", 7403)],
        "startupProbe": pods::probe("/startupz", 2, STARTUP_TRIES),
        "livenessProbe": pods::probe("/livez", 10, 3),
        "readinessProbe": pods::probe("/readyz", 2, 2),
        "resources": pods::resources(database.spec.node.resources.as_ref()),
        "securityContext": pods::container_security(),
        "volumeMounts": [
            {"name": "data", "mountPath": "/var/lib/dougdb"},
            {"name": "token", "mountPath": "/etc/dougdb/token", "readOnly": true},
        ],
    })
}

fn arguments(database: &Database, of: &ClusterSpec) -> Vec<String> {
    let (set, namespace) = (database.set_name(&of.name), &database.namespace);
    let mut arguments = vec![
        "node".to_owned(),
        // A folder in it, because some volumes begin with a lost+found.
        "--data=/var/lib/dougdb/node".to_owned(),
        format!("--cluster={}", of.name),
        format!("--name={}-$(POD_INDEX)", of.name),
        // Of both kinds of addresses, where there are both.
        "--listen=::".to_owned(),
        format!("--address=$(POD_NAME).{set}.{namespace}.svc"),
        "--token-file=/etc/dougdb/token/token".to_owned(),
    ];
    let config = &database.spec.node.config;
    let times = [
        ("election-timeout-milliseconds", config.election_timeout_milliseconds),
        ("quiesce-after-milliseconds", config.quiesce_after_milliseconds),
    ];
    for (flag, milliseconds) in times {
        if let Some(milliseconds) = milliseconds {
            arguments.push(format!("--{flag}={milliseconds}"));
        }
    }
    let sizes = [("memory-budget", &config.memory_budget), ("log-limit", &config.log_limit)];
    for (flag, size) in sizes {
        if let Some(size) = size.as_deref().and_then(bytes) {
            arguments.push(format!("--{flag}={size}"));
        }
    }
    arguments
}

fn claim(database: &Database, labels: &Value) -> Value {
    let storage = &database.spec.node.storage;
    let mut claim = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "labels": labels},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": storage.size}},
        },
    });
    if let Some(class) = &storage.class_name {
        claim["spec"]["storageClassName"] = class.clone().into();
    }
    claim
}

/// What a node must be restarted for. Everything else in the template, such as
/// a probe that a newer operator sets otherwise, waits for the next restart: an
/// operator's own upgrade restarts nobody.
pub fn template_hash(database: &Database, circumstances: &Circumstances) -> String {
    let node = &database.spec.node;
    let matters = json!({
        "image": circumstances.image,
        "resources": node.resources,
        "scheduling": node.scheduling,
        "config": node.config,
        "podTemplate": node.pod_template,
        "restartedAt": database.restarted_at,
        "platform": circumstances.platform,
    });
    format!("{:016x}", xxhash_rust::xxh3::xxh3_64(matters.to_string().as_bytes()))
}
