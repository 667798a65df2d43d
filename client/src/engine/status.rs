//! The status of a database in direct mode: every node is asked for its own.

use super::Engine;
use crate::connection::{Connection, Event};
use doug_proto::error::Fault;
use doug_proto::map::Node;
use doug_proto::v1::{self, NodeState, stream_answer::Answer, stream_operation::Operation};
use futures::stream::{StreamExt, iter};
use std::time::Duration;
use tokio::time::Instant;

/// A node that has not answered by then is listed as unreachable.
const PATIENCE: Duration = Duration::from_secs(1);
/// Nodes asked at the same time.
const AT_ONCE: usize = 64;

impl Engine {
    /// What every node of the map says of itself, in the map's order.
    pub(super) async fn status_of_all(
        &self,
        deadline: Instant,
    ) -> Result<v1::StatusResponse, Fault> {
        let table = self.wait_for_table(deadline).await?;
        let deadline = deadline.min(self.now() + PATIENCE);
        let asked = table.map.present().filter_map(|node| {
            let connection = table.connection(node.id)?;
            Some(status_of(node, connection, self.now(), deadline))
        });
        let nodes = iter(asked.collect::<Vec<_>>()).buffered(AT_ONCE).collect().await;
        Ok(v1::StatusResponse {
            database: table.map.database.to_string(),
            epoch: table.map.epoch,
            nodes,
            version: doug_proto::VERSION.to_owned(),
        })
    }
}

async fn status_of(
    node: &Node,
    connection: &Connection,
    now: Instant,
    deadline: Instant,
) -> v1::NodeStatus {
    let request = Operation::Status(v1::StatusRequest { local_only: true });
    let mut attempt = connection.submit(request, now, deadline);
    loop {
        let why = match attempt.event().await {
            Event::Silent => continue,
            Event::Answer(Answer::Status(mut status)) => match status.nodes.pop() {
                Some(status) if status.id != node.id.to_string() => another(&status, node),
                Some(status) => return named(status, node),
                None => "it answered without a status".to_owned(),
            },
            Event::Answer(Answer::Error(error)) => error.message,
            Event::Answer(_) => "it answered something else".to_owned(),
            Event::NotSent(why) | Event::Full(why) | Event::Lost(why) => why,
            Event::Deadline { .. } => format!("{} did not answer in time", connection.address()),
        };
        return unreachable(node, why);
    }
}

/// Its own answer says nothing of the node that the map lists there: an old volume may have
/// been started on its ports.
fn another(status: &v1::NodeStatus, node: &Node) -> String {
    let (address, id, name) = (node.doug_address(), &status.id, &status.name);
    format!("another node, {id} ({name}), answers at its address {address}: an old volume?")
}

/// The map's name where the node was given none of its own.
fn named(mut status: v1::NodeStatus, node: &Node) -> v1::NodeStatus {
    if status.name.is_empty() {
        status.name.clone_from(&node.name);
    }
    if status.cluster.is_empty() {
        status.cluster.clone_from(&node.cluster);
    }
    status
}

fn unreachable(node: &Node, message: String) -> v1::NodeStatus {
    v1::NodeStatus {
        id: node.id.to_string(),
        name: node.name.clone(),
        cluster: node.cluster.clone(),
        state: NodeState::Unreachable as i32,
        message,
        ..Default::default()
    }
}
