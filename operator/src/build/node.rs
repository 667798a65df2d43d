//! The StatefulSet of a cluster.

use super::labels::{Labels, cluster, cluster_metadata, selector};
use super::{Circumstances, access, pods, word};
use crate::names::TEMPLATE_HASH;
use crate::validate::Database;
use doug_crds::{ClusterSpec, Scheduling, Spread};
use k8s_openapi::api::apps::v1::{
    StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec,
    StatefulSetUpdateStrategy,
};
use k8s_openapi::api::core::v1::{
    Affinity, Container, EnvVar, EnvVarSource, ObjectFieldSelector, PersistentVolumeClaim,
    PersistentVolumeClaimSpec, PodAffinityTerm, PodAntiAffinity, PodSpec, PodTemplateSpec,
    SecretVolumeSource, TopologySpreadConstraint, Volume, VolumeMount, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;
use std::collections::BTreeMap;

/// The container in which the node runs, among those of others.
pub const CONTAINER: &str = "node";
/// Replaying the log may take this many tries of two seconds.
const STARTUP_TRIES: i32 = 900;
/// Handing over takes two seconds, requests in flight two more.
const GRACE_SECONDS: i64 = 30;

/// One StatefulSet per cluster. Its pods start together, since none needs
/// another to start; and are replaced only when the operator deletes one, since
/// only it knows whether every partition can do without.
pub fn stateful_set(
    database: &Database,
    of: &ClusterSpec,
    circumstances: &Circumstances,
) -> StatefulSet {
    let labels = cluster(database, &of.name);
    let runs = circumstances.nodes.get(&of.name).copied().unwrap_or(of.nodes);
    let replicas = if circumstances.asleep { 0 } else { runs };
    StatefulSet {
        metadata: cluster_metadata(database, &database.set_name(&of.name), &of.name),
        spec: Some(StatefulSetSpec {
            replicas: Some(replicas as i32),
            service_name: Some(database.set_name(&of.name)),
            pod_management_policy: Some("Parallel".to_owned()),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".to_owned()),
                rolling_update: None,
            }),
            persistent_volume_claim_retention_policy: Some(
                StatefulSetPersistentVolumeClaimRetentionPolicy {
                    when_deleted: word(database.spec.node.storage.when_deleted),
                    when_scaled: Some("Retain".to_owned()),
                },
            ),
            selector: selector(labels.clone()),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels.clone()),
                    annotations: Some(annotations(database, circumstances)),
                    ..Default::default()
                }),
                spec: Some(pod(database, of, circumstances, &labels)),
            },
            volume_claim_templates: Some(vec![claim(database, &labels)]),
            ..Default::default()
        }),
        status: None,
    }
}

fn annotations(database: &Database, circumstances: &Circumstances) -> BTreeMap<String, String> {
    let mut annotations = pods::annotations(database);
    annotations.insert(TEMPLATE_HASH.to_owned(), template_hash(database, circumstances));
    annotations
}

fn pod(
    database: &Database,
    of: &ClusterSpec,
    circumstances: &Circumstances,
    labels: &Labels,
) -> PodSpec {
    let scheduling = &database.spec.node.scheduling;
    let constraints = constraints(scheduling, labels);
    let token = Volume {
        name: "token".to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(database.token_name()),
            default_mode: Some(0o440),
            ..Default::default()
        }),
        ..Default::default()
    };
    PodSpec {
        service_account_name: Some(access::node_name(database)),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        security_context: Some(pods::pod_security(circumstances.platform)),
        image_pull_secrets: pods::pull_secrets(database),
        containers: vec![container(database, of, circumstances)],
        volumes: Some(vec![token]),
        node_selector: Some(scheduling.node_selector.clone()).filter(|labels| !labels.is_empty()),
        tolerations: Some(scheduling.tolerations.clone()).filter(|list| !list.is_empty()),
        priority_class_name: scheduling.priority_class_name.clone(),
        topology_spread_constraints: Some(constraints).filter(|list| !list.is_empty()),
        affinity: (scheduling.spread == Spread::Required).then(|| one_a_machine(labels)),
        ..Default::default()
    }
}

/// Never two of the nodes with these labels on one machine.
fn one_a_machine(labels: &Labels) -> Affinity {
    let apart = PodAffinityTerm {
        topology_key: pods::MACHINE.to_owned(),
        label_selector: Some(selector(labels.clone())),
        ..Default::default()
    };
    Affinity {
        pod_anti_affinity: Some(PodAntiAffinity {
            required_during_scheduling_ignored_during_execution: Some(vec![apart]),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// How a cluster's nodes, which have these labels, spread over machines and other domains.
fn constraints(scheduling: &Scheduling, labels: &Labels) -> Vec<TopologySpreadConstraint> {
    let over_machines = match scheduling.spread {
        Spread::Preferred => Some("ScheduleAnyway"),
        Spread::Required => Some("DoNotSchedule"),
        Spread::None => None,
    };
    let machines = over_machines.map(|when| pods::spread(labels, pods::MACHINE, when));
    let declared = scheduling.topology.iter().map(|topology| {
        let when = word(topology.when_unsatisfiable).unwrap_or_default();
        TopologySpreadConstraint {
            max_skew: topology.max_skew as i32,
            min_domains: topology.min_domains.map(|least| least as i32),
            ..pods::spread(labels, &topology.key, &when)
        }
    });
    // Zones may be fewer than nodes, so unasked, spreading over them is only preferred.
    let unasked = scheduling.topology.is_empty() && scheduling.spread != Spread::None;
    let zones = unasked.then(|| pods::spread(labels, pods::ZONE, "ScheduleAnyway"));
    machines.into_iter().chain(declared).chain(zones).collect()
}

fn container(database: &Database, of: &ClusterSpec, circumstances: &Circumstances) -> Container {
    let mount = |name: &str, path: &str| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        ..Default::default()
    };
    Container {
        name: CONTAINER.to_owned(),
        image: Some(circumstances.image.clone()),
        image_pull_policy: database.spec.image_pull_policy.and_then(word),
        args: Some(arguments(database, of)),
        env: Some(vec![
            of_pod("POD_NAME", "metadata.name"),
            of_pod("POD_INDEX", "metadata.labels['apps.kubernetes.io/pod-index']"),
        ]),
        ports: Some(vec![
            pods::port("doug", 7400),
            pods::port("raft", 7401),
            pods::port("admin", 7402),
            pods::port("http", 7403),
        ]),
        startup_probe: Some(pods::probe("/startupz", 2, STARTUP_TRIES)),
        liveness_probe: Some(pods::probe("/livez", 10, 3)),
        readiness_probe: Some(pods::probe("/readyz", 2, 2)),
        resources: Some(pods::resources(database.spec.node.resources.as_ref())),
        security_context: Some(pods::container_security()),
        volume_mounts: Some(vec![
            mount("data", "/var/lib/dougdb"),
            VolumeMount { read_only: Some(true), ..mount("token", "/etc/dougdb/token") },
        ]),
        ..Default::default()
    }
}

/// A variable with a field of the pod.
fn of_pod(name: &str, path: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                api_version: Some("v1".to_owned()),
                field_path: path.to_owned(),
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
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
    let sizes = &database.sizes;
    let sizes = [("memory-budget", sizes.node_memory), ("log-limit", sizes.log_limit)];
    for (flag, size) in sizes {
        if let Some(size) = size {
            arguments.push(format!("--{flag}={size}"));
        }
    }
    arguments
}

fn claim(database: &Database, labels: &Labels) -> PersistentVolumeClaim {
    let storage = &database.spec.node.storage;
    let size = Quantity(storage.size.clone());
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some("data".to_owned()),
            labels: Some(labels.clone()),
            ..Default::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), size)].into()),
                limits: None,
            }),
            storage_class_name: storage.class_name.clone(),
            ..Default::default()
        }),
        status: None,
    }
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
