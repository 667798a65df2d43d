//! What the pods of nodes and of the facade have in common.

use super::labels::{Labels, cluster, cluster_metadata, selector};
use crate::names::RESTARTED_AT;
use crate::validate::Database;
use doug_crds::{ClusterSpec, Platform, Resources};
use k8s_openapi::api::core::v1::{
    Capabilities, ContainerPort, HTTPGetAction, LocalObjectReference, PodSecurityContext, Probe,
    ResourceRequirements, SeccompProfile, SecurityContext, TopologySpreadConstraint,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::collections::BTreeMap;

/// A machine, and what fails with others of its kind.
pub const MACHINE: &str = "kubernetes.io/hostname";
/// What fails as a whole.
pub const ZONE: &str = "topology.kubernetes.io/zone";
/// Anyone but root, in the image and on the volume.
const USER: i64 = 65_532;

/// The security context of a pod. A platform that assigns users refuses pods that ask for others.
pub fn pod_security(platform: Platform) -> PodSecurityContext {
    let user = Some(USER).filter(|_| platform == Platform::Kubernetes);
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: user,
        run_as_group: user,
        fs_group: user,
        // A large volume would otherwise be walked at every start.
        fs_group_change_policy: Some("OnRootMismatch".to_owned()),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            localhost_profile: None,
        }),
        ..Default::default()
    }
}

/// The security context of a container.
pub fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        ..Default::default()
    }
}

/// What stands on every pod: for what it was last made anew.
pub fn annotations(database: &Database) -> BTreeMap<String, String> {
    let requested = database.restarted_at.iter();
    requested.map(|when| (RESTARTED_AT.to_owned(), when.clone())).collect()
}

/// A probe of a page on the port `http`.
pub fn probe(path: &str, period_seconds: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String("http".to_owned()),
            ..Default::default()
        }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(5),
        failure_threshold: Some(failures),
        ..Default::default()
    }
}

/// A port of a container.
pub fn port(name: &str, number: i32) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: number,
        protocol: Some("TCP".to_owned()),
        ..Default::default()
    }
}

/// Spreads the pods with these labels over the values of a label of machines; `when` one fits
/// nowhere: `ScheduleAnyway` or `DoNotSchedule`.
pub fn spread(labels: &Labels, key: &str, when: &str) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew: 1,
        topology_key: key.to_owned(),
        when_unsatisfiable: when.to_owned(),
        label_selector: Some(selector(labels.clone())),
        ..Default::default()
    }
}

/// What a container asks for, if anything is declared.
pub fn resources(declared: Option<&Resources>) -> ResourceRequirements {
    let amounts = |declared: &BTreeMap<String, String>| {
        let amounts = declared.iter().map(|(name, text)| (name.clone(), Quantity(text.clone())));
        Some(amounts.collect::<BTreeMap<_, _>>()).filter(|amounts| !amounts.is_empty())
    };
    let Some(declared) = declared else { return ResourceRequirements::default() };
    ResourceRequirements {
        requests: amounts(&declared.requests),
        limits: amounts(&declared.limits),
        claims: None,
    }
}

/// The Secrets with which the image is pulled.
pub fn pull_secrets(database: &Database) -> Option<Vec<LocalObjectReference>> {
    let name = |name: &String| LocalObjectReference { name: name.clone() };
    Some(database.spec.image_pull_secrets.iter().map(name).collect())
}

/// Keeps a drain from taking two nodes of a cluster at once. One that is not ready has a vote all
/// the same, and may be what a partition has its majority by: so it goes only while all others are
/// ready (`AlwaysAllow` would let a drain take any number of nodes that catch up).
pub fn node_budget(database: &Database, of: &ClusterSpec) -> PodDisruptionBudget {
    budget(
        cluster_metadata(database, &database.set_name(&of.name), &of.name),
        cluster(database, &of.name),
        "IfHealthyBudget",
    )
}

/// Lets one pod of those with these labels be away; `unhealthy` is the policy for those that are
/// not ready.
pub fn budget(metadata: ObjectMeta, labels: Labels, unhealthy: &str) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata,
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            unhealthy_pod_eviction_policy: Some(unhealthy.to_owned()),
            selector: Some(selector(labels)),
            min_available: None,
        }),
        status: None,
    }
}
