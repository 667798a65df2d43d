//! What waits for other nodes: the hosts fill a queue for each, and the transport empties it.

use crate::budget::MemoryBudget;
use crate::flow::Outbox;
use doug_proto::ids::NodeId;
use doug_proto::v1;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::sync::Arc;
use tokio::sync::{Notify, mpsc};

/// Queues to all peers, begun at the first message to each.
#[derive(Debug)]
pub struct Peers {
    queues: Mutex<FxHashMap<NodeId, Arc<PeerQueue>>>,
    /// Bytes of appends that may wait for each.
    bulk: usize,
    /// To the opener of streams: one for each node that was ever sent anything.
    begun: mpsc::UnboundedSender<Begun>,
}

/// A queue that nobody empties yet, and the node that it is for.
pub type Begun = (NodeId, Arc<PeerQueue>);

/// What waits for one peer.
#[derive(Debug)]
pub struct PeerQueue {
    outbox: Mutex<Outbox>,
    filled: Notify,
}

impl PeerQueue {
    fn new(bulk: usize) -> Self {
        Self { outbox: Mutex::new(Outbox::new(bulk)), filled: Notify::new() }
    }

    fn push(&self, turn: v1::PeerTurn) {
        self.outbox.lock().push(turn);
        self.filled.notify_one();
    }

    /// The next message, once there is one.
    pub async fn next(&self) -> v1::PeerTurn {
        loop {
            if let Some(turn) = self.outbox.lock().take() {
                return turn;
            }
            self.filled.notified().await;
        }
    }

    /// Drops everything: it is stale.
    pub fn clear(&self) {
        self.outbox.lock().clear();
    }
}

impl Peers {
    /// No queues yet; each that is begun goes to `begun` as well.
    pub fn new(budget: MemoryBudget, begun: mpsc::UnboundedSender<Begun>) -> Self {
        Self { queues: Mutex::default(), bulk: budget.of_a_peer(), begun }
    }

    /// Queues a turn. It may be lost: the core repeats what matters.
    pub fn send(&self, node: NodeId, turn: v1::PeerTurn) {
        let mut queues = self.queues.lock();
        let queue = queues.entry(node).or_insert_with(|| {
            let queue = Arc::new(PeerQueue::new(self.bulk));
            // The receiver is gone only while the process ends.
            let _ = self.begun.send((node, queue.clone()));
            queue
        });
        queue.push(turn);
    }
}
