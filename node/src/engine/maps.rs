//! The node's partition map: kept durably, watched by clients and transport.

use doug_proto::error::Fault;
use doug_proto::ids::NodeId;
use doug_proto::map::{Node, PartitionMap};
use std::sync::Arc;
use tokio::sync::watch;

/// The newest map this node knows, if it belongs to a database at all.
#[derive(Debug)]
pub struct Maps {
    current: watch::Sender<Option<Arc<PartitionMap>>>,
}

impl Maps {
    /// Starts from what was stored.
    pub fn new(stored: Option<PartitionMap>) -> Self {
        Self { current: watch::Sender::new(stored.map(Arc::new)) }
    }

    /// The map now.
    pub fn get(&self) -> Option<Arc<PartitionMap>> {
        self.current.borrow().clone()
    }

    /// The map now.
    ///
    /// # Errors
    /// `UNAVAILABLE` on a node that belongs to no database yet.
    pub fn required(&self) -> Result<Arc<PartitionMap>, Fault> {
        self.get().ok_or_else(|| {
            Fault::unavailable(
                "this node is empty and belongs to no database yet: create one with `doug create`",
            )
        })
    }

    /// Its epoch; 0 if there is none.
    pub fn epoch(&self) -> u64 {
        self.current.borrow().as_ref().map_or(0, |map| map.epoch)
    }

    /// Replaces the map; the caller has made it durable.
    pub fn set(&self, map: PartitionMap) {
        self.current.send_replace(Some(Arc::new(map)));
    }

    /// Sees every later map.
    pub fn watch(&self) -> watch::Receiver<Option<Arc<PartitionMap>>> {
        self.current.subscribe()
    }

    /// A node's entry.
    pub fn node(&self, id: NodeId) -> Option<Node> {
        self.current.borrow().as_ref()?.node(id).cloned()
    }
}
