//! What a user declares of the facade.

use crate::limits;
use crate::resources::Resources;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The facade's Deployment and Service.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FacadeSpec {
    /// How many pods.
    #[serde(default = "two")]
    #[schemars(range(min = 1, max = 64))]
    pub replicas: u32,
    /// How clients reach it.
    #[serde(default)]
    pub service: ServiceSpec,
    /// What each pod asks for and may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Memory for requests and answers under way, for instance `256Mi`. At least 16Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = limits::QUANTITY))]
    #[x_kube(validation = Rule::new("isQuantity(self) && quantity(self).compareTo(quantity('16Mi')) \
        >= 0")
        .message("memoryBudget of the facade is a quantity of at least 16Mi, for instance 256Mi"))]
    pub memory_budget: Option<String>,
    /// What is merged over the facade's pods, by strategic merge: labels, annotations, and any field of a pod that the operator need not own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::template::facade")]
    pub pod_template: Option<serde_json::Value>,
    /// Annotations of the facade's ServiceAccount.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::template::annotations")]
    pub service_account_annotations: BTreeMap<String, String>,
}

fn two() -> u32 {
    2
}

impl Default for FacadeSpec {
    fn default() -> Self {
        Self {
            replicas: two(),
            service: ServiceSpec::default(),
            resources: None,
            memory_budget: None,
            pod_template: None,
            service_account_annotations: BTreeMap::new(),
        }
    }
}

/// The facade's Service.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(has(self.type) && self.type == 'LoadBalancer') || \
        !(has(self.loadBalancerClass) || has(self.loadBalancerSourceRanges))")
        .message("loadBalancerClass and loadBalancerSourceRanges need a Service of type \
            LoadBalancer"),
    validation = Rule::new("(has(self.type) && self.type != 'ClusterIP') || \
        !has(self.externalTrafficPolicy)")
        .message("externalTrafficPolicy needs a Service of type NodePort or LoadBalancer"),
)]
pub struct ServiceSpec {
    /// Who can reach it.
    #[serde(rename = "type", default)]
    pub kind: ServiceKind,
    /// Its port.
    #[serde(default = "doug_port")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: u16,
    /// Annotations of the Service, by which clouds' load balancers are told what to do.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::template::annotations")]
    pub annotations: BTreeMap<String, String>,
    /// Which load balancer, where there are several. Cannot be changed while the type is LoadBalancer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = limits::NAME))]
    pub load_balancer_class: Option<String>,
    /// From where clients may come through the load balancer, for instance `10.0.0.0/8`. Default: from everywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 3, max = 43)))]
    pub load_balancer_source_ranges: Vec<String>,
    /// Whether machines pass connections on to facades of other machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_traffic_policy: Option<TrafficPolicy>,
}

/// Where a machine passes connections on that come from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TrafficPolicy {
    /// To every facade.
    Cluster,
    /// Only to its own, which then see the client's address.
    Local,
}

fn doug_port() -> u16 {
    7400
}

impl Default for ServiceSpec {
    fn default() -> Self {
        Self {
            kind: ServiceKind::default(),
            port: doug_port(),
            annotations: BTreeMap::new(),
            load_balancer_class: None,
            load_balancer_source_ranges: Vec::new(),
            external_traffic_policy: None,
        }
    }
}

/// The type of a Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceKind {
    /// From inside the Kubernetes cluster.
    #[default]
    ClusterIP,
    /// Also on a port of every machine.
    NodePort,
    /// Also through the cloud's load balancer.
    LoadBalancer,
}
