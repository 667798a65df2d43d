//! The view as JSON.

use super::view::{Node, Partition, Place, View};
use crate::units::show_time;
use doug_proto::ids::NodeId;
use doug_proto::map::Recovery;
use doug_proto::v1::NodeState;
use serde_json::{Value, json};

/// One document.
pub fn document(view: &View) -> Value {
    json!({
        "database": view.database,
        "epoch": view.epoch,
        "version": view.version,
        "shortClusters": view.shortages.iter().map(|short| {
            json!({"cluster": short.cluster, "nodes": short.nodes, "declared": short.declared})
        }).collect::<Vec<_>>(),
        "nodes": view.nodes.iter().map(node).collect::<Vec<_>>(),
        "partitions": view.partitions.iter().map(partition).collect::<Vec<_>>(),
    })
}

/// A state as documents name it.
pub fn state_name(state: NodeState) -> &'static str {
    match state {
        NodeState::Unspecified => "Unknown",
        NodeState::Starting => "Starting",
        NodeState::Empty => "Empty",
        NodeState::CatchingUp => "CatchingUp",
        NodeState::Ready => "Ready",
        NodeState::Unreachable => "Unreachable",
        NodeState::Removed => "Removed",
    }
}

fn node(node: &Node) -> Value {
    let volume = node.volume.map(|volume| {
        json!({
            "totalBytes": volume.total_bytes,
            "freeBytes": volume.free_bytes,
            "availableBytes": volume.available_bytes,
            "refusesWrites": volume.refuses_writes,
        })
    });
    json!({
        "id": node.id,
        "name": node.name,
        "cluster": node.cluster,
        "address": node.address,
        "state": state_name(node.state),
        "message": node.message,
        "version": node.version,
        "volume": volume,
        "clockOffsetMilliseconds": node.clock_offset,
    })
}

fn partition(partition: &Partition) -> Value {
    let members = partition.members.iter().map(|(id, place)| member(id, *place));
    json!({
        "id": partition.id,
        "keyspace": partition.keyspace,
        "cluster": partition.cluster,
        "leader": partition.leader,
        "sinceMilliseconds": partition.since_milliseconds,
        "lastIndex": partition.last_index,
        "bytes": partition.bytes,
        "estimatedKeys": partition.estimated_keys,
        "voters": partition.voters,
        "wantedVoters": partition.wanted,
        "members": members.collect::<Vec<_>>(),
        "change": partition.change.as_ref().map(|change| {
            json!({"goal": change.goal, "phase": change.phase, "waitsFor": change.waits_for})
        }),
        "recoveries": partition.recoveries.iter().map(recovery).collect::<Vec<_>>(),
        "damaged": partition.damaged.iter().map(|(node, why)| {
            json!({"node": node, "why": why})
        }).collect::<Vec<_>>(),
    })
}

fn recovery(recovery: &Recovery) -> Value {
    json!({
        "at": show_time(recovery.at_milliseconds),
        "by": recovery.by,
        "node": recovery.node.to_string(),
        "replica": recovery.replica,
        "committed": recovery.committed,
        "kept": recovery.kept,
        "keptTerm": recovery.kept_term,
        "resumed": recovery.resumed,
        "lost": recovery.lost.iter().map(NodeId::to_string).collect::<Vec<_>>(),
    })
}

fn member(id: &str, place: Place) -> Value {
    match place {
        Place::Leads => json!({"node": id, "role": "Leader", "lag": 0}),
        Place::Lags(lag) => json!({"node": id, "role": "Follower", "lag": lag}),
        Place::Down => json!({"node": id, "role": "Unreachable", "lag": null}),
        Place::Damaged => json!({"node": id, "role": "Damaged", "lag": null}),
        Place::Unknown => json!({"node": id, "role": "Unknown", "lag": null}),
    }
}
