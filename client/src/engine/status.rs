//! The status of a database in direct mode: every node is asked for its own.

use super::Engine;
use crate::connection::{Connection, Event};
use doug_proto::error::Fault;
use doug_proto::map::Node;
use doug_proto::status;
use doug_proto::v1::{self, NodeState, stream_answer::Answer, stream_operation::Operation};
use futures::stream::{StreamExt, iter};
use std::time::Duration;
use tokio::time::Instant;

/// A node that has not answered by then is listed as unreachable.
const PATIENCE: Duration = Duration::from_secs(1);
/// Nodes asked at the same time.
const AT_ONCE: usize = 64;

impl Engine {
    /// A page of what every node of the map says of itself, in the map's order.
    pub(crate) async fn status_of_all(
        &self,
        request: &v1::StatusRequest,
        deadline: Instant,
    ) -> Result<v1::StatusResponse, Fault> {
        let table = self.map.wait(deadline).await?;
        let deadline = deadline.min(self.now() + PATIENCE);
        let asked = table.map.present().filter_map(|node| {
            let connection = table.connection(node.id)?;
            Some(status_of(node, connection, request.after_partition, self.now(), deadline))
        });
        let answers = iter(asked.collect::<Vec<_>>()).buffered(AT_ONCE).collect::<Vec<_>>().await;
        let (mut nodes, ends): (Vec<_>, Vec<_>) = answers.into_iter().unzip();
        let next_after_partition = status::cut(&mut nodes, request, ends);
        Ok(v1::StatusResponse {
            database: table.map.database.to_string(),
            epoch: table.map.epoch,
            nodes,
            version: doug_proto::VERSION.to_owned(),
            next_after_partition,
        })
    }
}

/// A page of what one node says, and where it ends.
async fn status_of(
    node: &Node,
    connection: &Connection,
    after_partition: u64,
    now: Instant,
    deadline: Instant,
) -> (v1::NodeStatus, u64) {
    let request = v1::StatusRequest { local_only: true, after_partition };
    let mut attempt = connection.submit(Operation::Status(request), now, deadline);
    loop {
        let why = match attempt.event().await {
            Event::Silent => continue,
            Event::Answer(Answer::Status(mut status)) => match status.nodes.pop() {
                Some(own) if own.id != node.id.to_string() => another(&own, node),
                Some(own) => return (named(own, node), status.next_after_partition),
                None => "it answered without a status".to_owned(),
            },
            Event::Answer(Answer::Error(error)) => error.message,
            Event::Answer(_) => "it answered something else".to_owned(),
            Event::NotSent(why) | Event::Full(why) | Event::Lost(why) => why,
            Event::Deadline { .. } => format!("{} did not answer in time", connection.address()),
        };
        return (unreachable(node, why), 0);
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
