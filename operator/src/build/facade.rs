//! The facade's Deployment.

use super::labels::{Labels, component, metadata, selector};
use super::{Circumstances, pods, word};
use crate::validate::Database;
use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment,
};
use k8s_openapi::api::core::v1::{
    Container, Lifecycle, LifecycleHandler, PodSpec, PodTemplateSpec, SleepAction, Toleration,
};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// Longer than it takes until no proxy sends new connections to a pod that ends.
const LEAVE_SECONDS: i64 = 5;
/// That, and ten seconds for operations under way.
const GRACE_SECONDS: i64 = 30;
/// A facade keeps no data: once its machine has been silent for so long, it is started on another.
/// Kubernetes would wait for 300.
const LEAVE_SILENT_MACHINE_AFTER_SECONDS: i64 = 30;

/// Stateless pods that watch the DougCluster for the partition map. A new one
/// must be ready before an old one goes, so that a change loses no request.
pub fn deployment(database: &Database, circumstances: &Circumstances) -> Deployment {
    let labels = component(&database.name, "facade");
    let replicas = if circumstances.asleep { 0 } else { database.spec.facade.replicas };
    Deployment {
        metadata: metadata(database, &database.facade_name(), "facade"),
        spec: Some(DeploymentSpec {
            replicas: Some(replicas as i32),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(1)),
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            selector: selector(labels.clone()),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels.clone()),
                    annotations: Some(pods::annotations(database)),
                    ..Default::default()
                }),
                spec: Some(pod(database, circumstances, &labels)),
            },
            ..Default::default()
        }),
        status: None,
    }
}

/// Keeps a drain from taking the last facade, where there is more than one. One that is not ready
/// serves nobody and keeps nothing: it never holds a drain up.
pub fn budget(database: &Database) -> PodDisruptionBudget {
    let metadata = metadata(database, &database.facade_name(), "facade");
    pods::budget(metadata, component(&database.name, "facade"), "AlwaysAllow")
}

fn pod(database: &Database, circumstances: &Circumstances, labels: &Labels) -> PodSpec {
    let over = |key: &str| pods::spread(labels, key, "ScheduleAnyway");
    PodSpec {
        service_account_name: Some(database.facade_name()),
        automount_service_account_token: Some(true),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        security_context: Some(pods::pod_security(circumstances.platform)),
        image_pull_secrets: pods::pull_secrets(database),
        tolerations: Some(tolerations().into()),
        topology_spread_constraints: Some(vec![over(pods::MACHINE), over(pods::ZONE)]),
        containers: vec![container(database, circumstances)],
        ..Default::default()
    }
}

fn container(database: &Database, circumstances: &Circumstances) -> Container {
    let leave = LifecycleHandler {
        sleep: Some(SleepAction { seconds: LEAVE_SECONDS }),
        ..Default::default()
    };
    Container {
        name: "facade".to_owned(),
        image: Some(circumstances.image.clone()),
        image_pull_policy: database.spec.image_pull_policy.and_then(word),
        args: Some(arguments(database)),
        ports: Some(vec![pods::port("doug", 7400), pods::port("http", 7403)]),
        liveness_probe: Some(pods::probe("/livez", 10, 3)),
        readiness_probe: Some(pods::probe("/readyz", 2, 2)),
        lifecycle: Some(Lifecycle { pre_stop: Some(leave), ..Default::default() }),
        resources: Some(pods::resources(database.spec.facade.resources.as_ref())),
        security_context: Some(pods::container_security()),
        ..Default::default()
    }
}

fn tolerations() -> [Toleration; 2] {
    ["not-ready", "unreachable"].map(|state| Toleration {
        key: Some(format!("node.kubernetes.io/{state}")),
        operator: Some("Exists".to_owned()),
        effect: Some("NoExecute".to_owned()),
        toleration_seconds: Some(LEAVE_SILENT_MACHINE_AFTER_SECONDS),
        value: None,
    })
}

fn arguments(database: &Database) -> Vec<String> {
    let mut arguments = vec![
        "facade".to_owned(),
        "--listen=[::]:7400".to_owned(),
        format!("--dougcluster={}/{}", database.namespace, database.name),
        format!("--nodes={}.{}.svc:7400", database.nodes_name(), database.namespace),
    ];
    if let Some(size) = database.sizes.facade_memory {
        arguments.push(format!("--memory-budget={size}"));
    }
    arguments
}
