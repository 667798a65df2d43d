//! What a running node is.

use doug_proto::access::AccessToken;
use doug_proto::ids::NodeId;
use doug_proto::map::{Node, Ports};
use std::time::Duration;

/// What a running node is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its id.
    pub node: NodeId,
    /// Its name, for people.
    pub name: String,
    /// The cluster it was configured for.
    pub cluster: String,
    /// Under which host name or address others reach it.
    pub address: String,
    /// Where it listens.
    pub ports: Ports,
    /// Random number of this process.
    pub incarnation: u64,
    /// Shortest election timeout.
    pub election_timeout: Duration,
    /// What opens the ports of other nodes.
    pub access: AccessToken,
    /// Most connections of clients, if it was said.
    pub max_connections: Option<usize>,
}

impl Identity {
    /// How a map that is yet to list it would.
    pub fn entry(&self) -> Node {
        Node {
            id: self.node,
            name: self.name.clone(),
            cluster: self.cluster.clone(),
            address: self.address.clone(),
            ports: self.ports,
            version: 0,
        }
    }

    /// How often hosts are told the time: often enough for timeouts that differ
    /// by a few milliseconds to elect one candidate.
    pub fn tick_interval(&self) -> Duration {
        (self.election_timeout / 15).max(Duration::from_millis(1))
    }
}
