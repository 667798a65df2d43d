//! The node's partition map: merged from what its own replicas apply and what
//! other nodes tell, kept durably, watched by clients and transport.

use crate::membership::{HeldDescriptors, MapUpdate};
use doug_proto::error::Fault;
use doug_proto::ids::NodeId;
use doug_proto::map::{Cluster, Node, Partition, PartitionMap, Summary};
use doug_proto::v1;
use doug_storage::StorageError;
use doug_storage::store::Store;
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::watch;

/// What tells two maps apart.
#[derive(Clone, Debug)]
pub struct Digests {
    /// Of all of it, the epoch too.
    pub whole: u64,
    /// Of its entries, in groups.
    pub summary: Summary,
}

/// The newest map this node knows, if it belongs to a database at all.
pub struct Maps {
    store: Arc<Store>,
    current: watch::Sender<Option<Arc<PartitionMap>>>,
    /// Rises whenever this node knows something that no other node has told it.
    news: watch::Sender<u64>,
    /// One change at a time, or the older of two could be the one that is stored.
    changing: Mutex<HeldDescriptors>,
    /// The digests of this map, which are asked for every second and cost a look at all of it.
    digests: Mutex<Option<(Arc<PartitionMap>, Digests)>>,
}

impl Maps {
    /// Starts from what was stored.
    pub fn new(stored: Option<PartitionMap>, store: Arc<Store>) -> Self {
        Self {
            store,
            current: watch::Sender::new(stored.map(Arc::new)),
            news: watch::Sender::new(0),
            changing: Mutex::default(),
            digests: Mutex::default(),
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

    /// The map with its digests.
    ///
    /// # Errors
    /// `UNAVAILABLE` on a node that belongs to no database yet.
    pub fn with_digests(&self) -> Result<(Arc<PartitionMap>, Digests), Fault> {
        let map = self.required()?;
        let mut known = self.digests.lock();
        match &*known {
            Some((of, digests)) if Arc::ptr_eq(of, &map) => Ok((map, digests.clone())),
            _ => {
                let summary = map.summary();
                let digests = Digests { whole: map.digest_of(&summary), summary };
                *known = Some((map.clone(), digests.clone()));
                Ok((map, digests))
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
        match held.merge(&known, heard).map_err(StorageError::Refused)? {
            Some(update) => self.replace(update),
            None => Ok(()),
        }
    }

    /// Takes in entries of another node's map, whose summary is `theirs`.
    ///
    /// # Errors
    /// Entries of another database, ones that need others, or those of the manifest.
    pub fn merge_changes(
        &self,
        changes: &v1::PartitionMap,
        theirs: &Summary,
    ) -> Result<(), StorageError> {
        let mut held = self.changing.lock();
        let Some(known) = self.get() else {
            return Err(StorageError::Refused("this node belongs to no database yet".to_owned()));
        };
        let update = held.merge_changes(&known, changes, theirs).map_err(StorageError::Refused)?;
        update.map_or(Ok(()), |update| self.replace(update))
    }

    /// Takes in a descriptor that a replica on this node has applied: it is
    /// committed, so its group stands by it.
    ///
    /// # Errors
    /// Those of the manifest.
    pub fn publish(&self, descriptor: &Partition) -> Result<(), StorageError> {
        let mut held = self.changing.lock();
        let Some(known) = self.get() else { return Ok(()) };
        held.publish(&known, descriptor).map_or(Ok(()), |update| self.replace(update))
    }

    /// Takes over entries of nodes and clusters that were set at a smaller epoch.
    /// Returns the map's epoch.
    ///
    /// # Errors
    /// Those of the manifest.
    pub fn set_entries(
        &self,
        epoch: u64,
        nodes: Vec<Node>,
        clusters: Vec<Cluster>,
    ) -> Result<u64, StorageError> {
        let mut held = self.changing.lock();
        let Some(known) = self.get() else {
            return Err(StorageError::Refused("this node belongs to no database yet".to_owned()));
        };
        let Some(update) = held.set_entries(&known, epoch, nodes, clusters) else {
            return Ok(known.epoch);
        };
        let epoch = update.map.epoch;
        self.replace(update)?;
        Ok(epoch)
    }

    /// Marks a node as removed for good; with its last node a cluster departs. Returns the
    /// map's epoch.
    ///
    /// # Errors
    /// Those of the manifest.
    pub fn remove_node(&self, id: NodeId) -> Result<u64, StorageError> {
        let _one_at_a_time = self.changing.lock();
        let Some(known) = self.get() else { return Ok(0) };
        let Some(update) = MapUpdate::without_node(&known, id) else { return Ok(known.epoch) };
        let epoch = update.map.epoch;
        self.replace(update)?;
        Ok(epoch)
    }

    fn replace(&self, MapUpdate { map, news }: MapUpdate) -> Result<(), StorageError> {
        let changes = self.get().map_or_else(Vec::new, |known| map.stored_changes(&known));
        self.store.change_map(changes)?;
        self.current.send_replace(Some(Arc::new(map)));
        if news {
            self.news.send_modify(|count| *count += 1);
        }
        Ok(())
    }
}
