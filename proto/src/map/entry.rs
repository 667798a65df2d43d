//! The entries of a map: what is merged, told and stored one by one.

use super::{Cluster, Keyspace, KeyspaceId, Node, Partition, PartitionMap};
use crate::error::Fault;
use bytes::Bytes;
use prost::Message;

/// What an entry is about; the numbers are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Kind {
    Keyspace = 1,
    Cluster = 2,
    Node = 3,
    Partition = 4,
}

/// One entry of a map, of which the newer one wins.
pub(super) trait Entry: Clone + PartialEq {
    /// What it is about.
    const KIND: Kind;

    /// Tells it from all others of its kind, in every version of it.
    fn key(&self) -> Bytes;

    /// What a newer entry has more of.
    fn version(&self) -> u64;

    /// All it says, as this program understands it.
    fn encode(&self) -> Bytes;

    /// Reads what [`Entry::encode`] wrote, here or in a newer program.
    ///
    /// # Errors
    /// Bytes that are no such entry.
    fn decode(content: &[u8]) -> Result<Self, Fault>;

    /// The entry of another map with the same key.
    fn find_in<'a>(&self, map: &'a PartitionMap) -> Option<&'a Self>;

    /// The keyspace whose division it is part of.
    fn keyspace(&self) -> Option<KeyspaceId> {
        None
    }

    /// The entries of this kind.
    fn list(map: &PartitionMap) -> &Vec<Self>;

    /// The entries of this kind.
    fn list_mut(map: &mut PartitionMap) -> &mut Vec<Self>;
}

impl Entry for Keyspace {
    const KIND: Kind = Kind::Keyspace;

    fn key(&self) -> Bytes {
        number(self.id.number())
    }

    fn version(&self) -> u64 {
        self.generation
    }

    fn encode(&self) -> Bytes {
        self.to_wire().encode_to_vec().into()
    }

    fn decode(content: &[u8]) -> Result<Self, Fault> {
        Self::from_wire(&message(content)?)
    }

    fn find_in<'a>(&self, map: &'a PartitionMap) -> Option<&'a Self> {
        map.keyspace(self.id)
    }

    fn list(map: &PartitionMap) -> &Vec<Self> {
        &map.keyspaces
    }

    fn list_mut(map: &mut PartitionMap) -> &mut Vec<Self> {
        &mut map.keyspaces
    }
}

impl Entry for Cluster {
    const KIND: Kind = Kind::Cluster;

    fn key(&self) -> Bytes {
        Bytes::copy_from_slice(self.name.as_bytes())
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn encode(&self) -> Bytes {
        self.to_wire().encode_to_vec().into()
    }

    fn decode(content: &[u8]) -> Result<Self, Fault> {
        Ok(Self::from_wire(&message(content)?))
    }

    fn find_in<'a>(&self, map: &'a PartitionMap) -> Option<&'a Self> {
        let found = map.clusters.binary_search_by(|cluster| cluster.name.cmp(&self.name));
        found.ok().map(|place| &map.clusters[place])
    }

    fn list(map: &PartitionMap) -> &Vec<Self> {
        &map.clusters
    }

    fn list_mut(map: &mut PartitionMap) -> &mut Vec<Self> {
        &mut map.clusters
    }
}

impl Entry for Node {
    const KIND: Kind = Kind::Node;

    fn key(&self) -> Bytes {
        number(self.id.bits())
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn encode(&self) -> Bytes {
        self.to_wire().encode_to_vec().into()
    }

    fn decode(content: &[u8]) -> Result<Self, Fault> {
        Self::from_wire(&message(content)?)
    }

    fn find_in<'a>(&self, map: &'a PartitionMap) -> Option<&'a Self> {
        map.node(self.id)
    }

    fn list(map: &PartitionMap) -> &Vec<Self> {
        &map.nodes
    }

    fn list_mut(map: &mut PartitionMap) -> &mut Vec<Self> {
        &mut map.nodes
    }
}

/// A group commits one descriptor per generation.
impl Entry for Partition {
    const KIND: Kind = Kind::Partition;

    fn key(&self) -> Bytes {
        number(self.id)
    }

    fn version(&self) -> u64 {
        self.generation
    }

    fn encode(&self) -> Bytes {
        Partition::encode(self)
    }

    fn decode(content: &[u8]) -> Result<Self, Fault> {
        Self::from_wire(&message(content)?)
    }

    fn find_in<'a>(&self, map: &'a PartitionMap) -> Option<&'a Self> {
        let others = map.partitions_in(self.keyspace);
        let place = others.binary_search_by(|other| other.start.cmp(&self.start)).ok()?;
        Some(&others[place]).filter(|other| other.id == self.id)
    }

    fn keyspace(&self) -> Option<KeyspaceId> {
        Some(self.keyspace)
    }

    fn list(map: &PartitionMap) -> &Vec<Self> {
        &map.partitions
    }

    fn list_mut(map: &mut PartitionMap) -> &mut Vec<Self> {
        &mut map.partitions
    }
}

/// The message of an entry.
fn message<M: Message + Default>(content: &[u8]) -> Result<M, Fault> {
    M::decode(content)
        .map_err(|error| Fault::invalid(format!("an entry of the map is unreadable: {error}")))
}

/// Big-endian, so that keys sort as the numbers do.
fn number(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}
