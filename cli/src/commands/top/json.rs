//! The load as JSON.

use super::rates::Traffic;
use super::view::{NodeLoad, PartitionLoad, Top};
use crate::commands::status::state_name;
use serde_json::{Value, json};

/// One document.
pub fn document(top: &Top) -> Value {
    json!({
        "database": top.database,
        "perSecond": traffic(top.total),
        "nodes": top.nodes.iter().map(node).collect::<Vec<_>>(),
        "partitions": top.partitions.iter().map(partition).collect::<Vec<_>>(),
    })
}

fn node(node: &NodeLoad) -> Value {
    json!({
        "name": node.name,
        "cluster": node.cluster,
        "state": state_name(node.state),
        "leads": node.leads,
        "replicas": node.replicas,
        "perSecond": traffic(node.traffic),
        "bytes": node.bytes,
        "availableBytes": node.available,
        "lag": node.lag,
    })
}

fn partition(partition: &PartitionLoad) -> Value {
    json!({
        "id": partition.id,
        "keyspace": partition.keyspace,
        "cluster": partition.cluster,
        "leader": partition.leader,
        "perSecond": traffic(partition.traffic),
        "bytes": partition.bytes,
        "estimatedKeys": partition.estimated_keys,
        "lag": partition.lag,
        "membersDown": partition.down,
    })
}

/// Null where nothing is known.
fn traffic(traffic: Option<Traffic>) -> Value {
    let Some(traffic) = traffic else { return Value::Null };
    json!({
        "reads": traffic.reads,
        "writes": traffic.writes,
        "readBytes": traffic.read_bytes,
        "writtenBytes": traffic.written_bytes,
    })
}
