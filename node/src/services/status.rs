//! What a node says of itself.

use crate::engine::Engine;
use crate::host::{Event, Reply};
use crate::volume::WriteAdmission;
use doug_proto::map::Node;
use doug_proto::{VERSION, v1};
use std::time::Duration;

/// A host that does not answer within this time is left out.
const PATIENCE: Duration = Duration::from_secs(2);

/// A page of the status of this node alone.
pub async fn page(engine: &Engine, request: &v1::StatusRequest) -> v1::StatusResponse {
    let mut status = local(engine).await;
    status.next_after_partition = doug_proto::status::cut(&mut status.nodes, request, []);
    status
}

/// The status of this node alone.
pub async fn local(engine: &Engine) -> v1::StatusResponse {
    let map = engine.maps.get();
    v1::StatusResponse {
        next_after_partition: 0,
        database: map.as_ref().map(|map| map.database.to_string()).unwrap_or_default(),
        epoch: map.as_ref().map_or(0, |map| map.epoch),
        nodes: vec![node(engine).await],
        version: VERSION.to_owned(),
    }
}

async fn node(engine: &Engine) -> v1::NodeStatus {
    let mut replicas = Vec::new();
    let mut message = String::new();
    for host in 0..engine.hosts.len() {
        match engine.ask(host, PATIENCE, |request| Event::Status { request }).await {
            Ok(Reply::Status(status)) => replicas.extend(status),
            Ok(_) => {}
            Err(fault) => message = fault.message,
        }
    }
    for replica in &mut replicas {
        if let Some(data) = engine.partition(replica.partition) {
            replica.bytes = data.bytes();
            replica.estimated_keys = data.estimated_keys();
            replica.served = Some(data.served().to_wire());
        }
    }
    replicas.extend(engine.fenced.lock().iter().map(|(replica, why)| v1::ReplicaStatus {
        partition: replica.partition,
        replica: replica.replica,
        damage: why.clone(),
        ..Default::default()
    }));
    replicas.sort_by_key(|replica| replica.partition);
    v1::NodeStatus {
        id: engine.config.node.to_string(),
        name: engine.config.name.clone(),
        cluster: engine.config.cluster.clone(),
        state: state(engine).into(),
        version: VERSION.to_owned(),
        message,
        uptime_milliseconds: engine.clock.uptime().as_millis() as u64,
        log_bytes: engine.log_bytes(),
        volume: volume(engine),
        clock_offset_milliseconds: engine.clock_offset(),
        replicas,
    }
}

fn volume(engine: &Engine) -> Option<v1::VolumeStatus> {
    let room = engine.volume.room()?;
    Some(v1::VolumeStatus {
        total_bytes: room.total,
        free_bytes: room.free,
        available_bytes: room.available,
        refuses_writes: engine.volume.admission() != WriteAdmission::Writes,
    })
}

/// The node's state in one word.
pub fn state(engine: &Engine) -> v1::NodeState {
    let Some(map) = engine.maps.get() else { return v1::NodeState::Empty };
    if map.node(engine.config.node).is_some_and(Node::is_removed) {
        v1::NodeState::Removed
    } else if engine.hosts.iter().all(|host| host.caught_up()) {
        v1::NodeState::Ready
    } else {
        v1::NodeState::CatchingUp
    }
}
