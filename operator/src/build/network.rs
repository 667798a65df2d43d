//! Who may connect to nodes.

use super::labels::{component, metadata};
use crate::names::{COMPONENT, NAME};
use crate::validate::Database;
use serde_json::{Value, json};

/// Raft from this database's nodes; Admin from those and the operator, wherever
/// it runs; clients and probes from anywhere.
pub fn policy(database: &Database) -> Value {
    let nodes = component(&database.name, "node");
    let operator = json!({NAME: "dougdb", COMPONENT: "operator"});
    let port = |number: u16| json!({"protocol": "TCP", "port": number});
    json!({
        "metadata": metadata(database, &format!("{}-nodes", database.name), "node"),
        "spec": {
            "podSelector": {"matchLabels": nodes},
            "policyTypes": ["Ingress"],
            "ingress": [
                {"ports": [port(7400), port(7403)]},
                {
                    "ports": [port(7401), port(7402)],
                    "from": [{"podSelector": {"matchLabels": nodes}}],
                },
                {
                    "ports": [port(7402)],
                    "from": [{
                        "namespaceSelector": {},
                        "podSelector": {"matchLabels": operator},
                    }],
                },
            ],
        },
    })
}
