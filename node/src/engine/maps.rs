//! The node's partition map: merged from what its own replicas apply and what
//! other nodes tell, kept durably, watched by clients and transport.

use doug_proto::error::Fault;
use doug_proto::ids::NodeId;
use doug_proto::map::{Node, Partition, PartitionMap, REMOVED};
use doug_storage::StorageError;
use doug_storage::store::Store;
use parking_lot::Mutex;
use prost::Message;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// The newest map this node knows, if it belongs to a database at all.
pub struct Maps {
    store: Arc<Store>,
    current: watch::Sender<Option<Arc<PartitionMap>>>,
    /// Rises whenever this node knows something that no other node has told it.
    news: watch::Sender<u64>,
    /// One change at a time, or the older of two could be the one that is stored.
    changing: Mutex<Held>,
    /// The digest of this map, which is asked for every second and costs a look at all of it.
    digest: Mutex<Option<(Arc<PartitionMap>, u64)>>,
}

/// Descriptors that name nodes the map does not list yet. The leader that took
/// them in knew the nodes, so their entries are on the way.
type Held = BTreeMap<u64, Partition>;

impl Maps {
    /// Starts from what was stored.
    pub fn new(stored: Option<PartitionMap>, store: Arc<Store>) -> Self {
        Self {
            store,
            current: watch::Sender::new(stored.map(Arc::new)),
            news: watch::Sender::new(0),
            changing: Mutex::default(),
            digest: Mutex::default(),
        }
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

    /// Its digest; 0 if there is none.
    pub fn digest(&self) -> u64 {
        let Some(map) = self.get() else { return 0 };
        let mut known = self.digest.lock();
        match &*known {
            Some((of, digest)) if Arc::ptr_eq(of, &map) => *digest,
            _ => {
                let digest = map.digest();
                *known = Some((map, digest));
                digest
            }
        }
    }

    /// Its epoch; 0 if there is none.
    pub fn epoch(&self) -> u64 {
        self.current.borrow().as_ref().map_or(0, |map| map.epoch)
    }

    /// A node's entry.
    pub fn node(&self, id: NodeId) -> Option<Node> {
        self.current.borrow().as_ref()?.node(id).cloned()
    }

    /// Sees every later map.
    pub fn watch(&self) -> watch::Receiver<Option<Arc<PartitionMap>>> {
        self.current.subscribe()
    }

    /// Wakes up when there is something to tell the other nodes.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Takes over the first map, which was stored with the node's membership.
    pub fn begin(&self, map: PartitionMap) {
        let _one_at_a_time = self.changing.lock();
        self.current.send_replace(Some(Arc::new(map)));
    }

    /// Takes in another node's map.
    ///
    /// # Errors
    /// A map of another database, or those of the manifest.
    pub fn merge(&self, heard: &PartitionMap) -> Result<(), StorageError> {
        let mut held = self.changing.lock();
        let Some(known) = self.get() else {
            return Err(StorageError::Refused("this node belongs to no database yet".to_owned()));
        };
        if known.database != heard.database {
            return Err(StorageError::Refused(format!(
                "this node belongs to database {}, not to {}",
                known.database, heard.database
            )));
        }
        let Some(merged) = known.merge(heard) else { return Ok(()) };
        let merged = with_held(merged, &mut held);
        // Whoever told it tells everybody; only a mixture is news to others.
        let news = merged != *heard;
        self.replace(merged, news)
    }

    /// Takes in a descriptor that a replica on this node has applied: it is
    /// committed, so its group stands by it.
    ///
    /// # Errors
    /// Those of the manifest.
    pub fn publish(&self, descriptor: &Partition) -> Result<(), StorageError> {
        let mut held = self.changing.lock();
        let Some(known) = self.get() else { return Ok(()) };
        if known.partition(descriptor.id).is_some_and(|p| p.generation >= descriptor.generation) {
            return Ok(());
        }
        held.insert(descriptor.id, descriptor.clone());
        let changed = with_held(PartitionMap::clone(&known), &mut held);
        if changed == *known {
            return Ok(());
        }
        self.replace(changed, true)
    }

    /// Takes over entries of nodes that were set at a smaller epoch. Returns the
    /// map's epoch.
    ///
    /// # Errors
    /// Those of the manifest.
    pub fn set_nodes(&self, epoch: u64, nodes: Vec<Node>) -> Result<u64, StorageError> {
        let mut held = self.changing.lock();
        let Some(known) = self.get() else {
            return Err(StorageError::Refused("this node belongs to no database yet".to_owned()));
        };
        let mut changed = PartitionMap::clone(&known);
        for node in nodes {
            let node = Node { version: epoch, ..node };
            match changed.nodes.iter_mut().find(|known| known.id == node.id) {
                Some(known) if known.version < epoch => *known = node,
                Some(_) => {}
                None => changed.nodes.push(node),
            }
        }
        if changed == *known {
            return Ok(known.epoch);
        }
        changed.epoch = epoch.max(known.epoch + 1);
        let changed = with_held(changed, &mut held);
        let epoch = changed.epoch;
        self.replace(changed, true)?;
        Ok(epoch)
    }

    /// Marks a node as removed for good. Returns the map's epoch.
    ///
    /// # Errors
    /// Those of the manifest.
    pub fn remove_node(&self, id: NodeId) -> Result<u64, StorageError> {
        let _one_at_a_time = self.changing.lock();
        let Some(known) = self.get() else { return Ok(0) };
        let mut changed = PartitionMap::clone(&known);
        let entry = changed.nodes.iter_mut().find(|node| node.id == id && !node.is_removed());
        let Some(entry) = entry else { return Ok(known.epoch) };
        entry.version = REMOVED;
        changed.epoch += 1;
        let epoch = changed.epoch;
        self.replace(changed, true)?;
        Ok(epoch)
    }

    fn replace(&self, map: PartitionMap, news: bool) -> Result<(), StorageError> {
        self.store.set_map(map.to_wire().encode_to_vec().into())?;
        self.current.send_replace(Some(Arc::new(map)));
        if news {
            self.news.send_modify(|count| *count += 1);
        }
        Ok(())
    }
}

/// The map with those held descriptors that fit into it now.
fn with_held(mut map: PartitionMap, held: &mut Held) -> PartitionMap {
    held.retain(|id, descriptor| {
        let Some(known) = map.partitions.iter_mut().find(|known| known.id == *id) else {
            return false;
        };
        if known.generation >= descriptor.generation {
            return false;
        }
        let before = std::mem::replace(known, descriptor.clone());
        let listed = descriptor.members().all(|member| map.node(member.node).is_some());
        if listed {
            map.epoch += 1;
        } else if let Some(known) = map.partitions.iter_mut().find(|known| known.id == *id) {
            *known = before;
        }
        !listed
    });
    map
}
