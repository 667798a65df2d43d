//! Who may connect to nodes.

use super::labels::{component, metadata, selector};
use crate::names::{COMPONENT, NAME};
use crate::validate::Database;
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// Raft from this database's nodes; Admin from those and the operator, wherever
/// it runs; clients and probes from anywhere.
pub fn policy(database: &Database) -> NetworkPolicy {
    let nodes = selector(component(&database.name, "node"));
    let operator = [(NAME, "dougdb"), (COMPONENT, "operator")];
    let operator = operator.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let from_nodes = NetworkPolicyPeer { pod_selector: Some(nodes.clone()), ..Default::default() };
    let from_operators = NetworkPolicyPeer {
        // Of any namespace.
        namespace_selector: Some(LabelSelector::default()),
        pod_selector: Some(selector(operator.into())),
        ip_block: None,
    };
    NetworkPolicy {
        metadata: metadata(database, &database.nodes_name(), "node"),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(nodes),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(vec![
                rule(&[7400, 7403], None),
                rule(&[7401, 7402], Some(from_nodes)),
                rule(&[7402], Some(from_operators)),
            ]),
            egress: None,
        }),
    }
}

/// Lets a peer, or anyone, reach these ports.
fn rule(ports: &[i32], from: Option<NetworkPolicyPeer>) -> NetworkPolicyIngressRule {
    let port = |number: &i32| NetworkPolicyPort {
        protocol: Some("TCP".to_owned()),
        port: Some(IntOrString::Int(*number)),
        end_port: None,
    };
    NetworkPolicyIngressRule {
        ports: Some(ports.iter().map(port).collect()),
        from: from.map(|peer| vec![peer]),
    }
}
