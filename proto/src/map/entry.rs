//! The entries of a map: what is merged, told and stored one by one.

use super::{Cluster, Keyspace, Node, Partition, PartitionMap};
use bytes::Bytes;
use prost::Message;
use std::cmp::Ordering;

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

    /// All it says.
    fn encode(&self) -> Bytes;

    /// Whether it takes the place of `known`. Two operators may give one node two
    /// addresses under one version: then either may win, but everywhere the same.
    fn is_newer_than(&self, known: &Self) -> bool {
        match self.version().cmp(&known.version()) {
            Ordering::Equal => self != known && self.encode() > known.encode(),
            order => order == Ordering::Greater,
        }
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

    fn list(map: &PartitionMap) -> &Vec<Self> {
        &map.partitions
    }

    fn list_mut(map: &mut PartitionMap) -> &mut Vec<Self> {
        &mut map.partitions
    }
}

/// Big-endian, so that keys sort as the numbers do.
fn number(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}
