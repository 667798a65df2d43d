//! The specification of a database to create.

use doug_client::create::{NodeIdentity, Spec, plan};
use doug_proto::ids::{DatabaseId, NodeId};

/// A specification as YAML, of which JSON is a part.
pub fn creation_spec(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(spec) = serde_yaml_ng::from_str::<Spec>(text) else { return };
    let written = serde_json::to_string(&spec).expect("a specification has a text");
    let again: Spec = serde_json::from_str(&written).expect("just written");
    assert_eq!(again, spec, "written and read it is another");
    let valid = spec.validate().is_ok();
    let mut ids = 1..;
    let mut identity = || {
        let node = NodeId::from_bits(ids.next().expect("there is always a next"));
        NodeIdentity { node, database: None }
    };
    let identities: Vec<Vec<NodeIdentity>> = spec
        .clusters
        .iter()
        .map(|cluster| cluster.nodes.iter().map(|_| identity()).collect())
        .collect();
    let planned = plan(&spec, &identities, DatabaseId::from_bits(1));
    assert_eq!(planned.is_ok(), valid, "valid, and yet without a plan: {planned:?}");
}
