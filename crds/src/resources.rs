//! What containers ask for.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Requests and limits of a container.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// What is reserved: `cpu`, `memory`, `ephemeral-storage`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[x_kube(validation = Rule::new("self.all(name, name in ['cpu', 'memory', 'ephemeral-storage'] \
        && isQuantity(self[name]))")
        .message("requests are quantities of cpu, memory and ephemeral-storage, for instance {cpu: \
            500m, memory: 1Gi}"))]
    #[schemars(schema_with = "crate::schema::quantities")]
    pub requests: BTreeMap<String, String>,
    /// What is never exceeded: `cpu`, `memory`, `ephemeral-storage`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[x_kube(validation = Rule::new("self.all(name, name in ['cpu', 'memory', 'ephemeral-storage'] \
        && isQuantity(self[name]))")
        .message("limits are quantities of cpu, memory and ephemeral-storage, for instance \
            {memory: 1Gi}"))]
    #[schemars(schema_with = "crate::schema::quantities")]
    pub limits: BTreeMap<String, String>,
}
