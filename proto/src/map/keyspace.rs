//! What a map lists beside its nodes and partitions: keyspaces and clusters.

use crate::routing::Routing;
use crate::v1;
use bytes::Bytes;
use std::fmt;
use std::time::Duration;

/// Id of a keyspace: never used again, even once the keyspace is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyspaceId(u64);

impl KeyspaceId {
    /// The catalog: what the whole database must agree on.
    pub const SYSTEM: Self = Self(0);
    /// Where requests go that name no keyspace.
    pub const DEFAULT: Self = Self(1);

    /// The keyspace with this number.
    pub fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number, as it stands on the wire.
    pub fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for KeyspaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How long old versions of keys stay readable in each partition of a keyspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// For so long after they were written over, in whole milliseconds. Zero: no longer than
    /// reads need that have begun.
    pub retain: Duration,
    /// While the log has grown by no more than so many bytes since.
    pub max_bytes: u64,
}

impl Default for History {
    fn default() -> Self {
        Self { retain: Duration::from_secs(600), max_bytes: 256 << 20 }
    }
}

impl History {
    /// The wire form.
    pub fn to_wire(self) -> v1::History {
        let retain_milliseconds = self.retain.as_millis() as u64;
        v1::History { retain_milliseconds, max_bytes: self.max_bytes }
    }

    /// Reads the wire form.
    pub fn from_wire(wire: &v1::History) -> Self {
        let retain = Duration::from_millis(wire.retain_milliseconds);
        Self { retain, max_bytes: wire.max_bytes }
    }
}

/// A named set of keys with a routing and partitions of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyspace {
    /// Its id.
    pub id: KeyspaceId,
    /// Its name, which requests give.
    pub name: String,
    /// How its keys become routing bytes; fixed at its creation.
    pub routing: Routing,
    /// Rises with each change of its options, and when it is marked as deleted: of
    /// two entries of one keyspace, the greater wins.
    pub generation: u64,
    /// Whether it is marked as deleted: refused, until it is undeleted or gone for good.
    pub deleted: bool,
    /// How long old versions stay readable.
    pub history: History,
}

impl Keyspace {
    /// Name of the catalog.
    pub const SYSTEM: &str = "system";
    /// Name of the keyspace of requests that give none.
    pub const DEFAULT: &str = "default";
    /// The catalog's only partition, in every database.
    pub const SYSTEM_PARTITION: u64 = 1;

    /// The catalog, as the first map lists it: one partition, by range.
    pub fn system() -> Self {
        Self {
            id: KeyspaceId::SYSTEM,
            name: Self::SYSTEM.to_owned(),
            routing: Routing::Range,
            generation: 1,
            deleted: false,
            history: History::default(),
        }
    }

    /// The keyspace `default`, as the first map lists it.
    pub fn default_with(routing: Routing) -> Self {
        Self {
            id: KeyspaceId::DEFAULT,
            name: Self::DEFAULT.to_owned(),
            routing,
            generation: 1,
            deleted: false,
            history: History::default(),
        }
    }

    /// `default` by the hash of the whole key: what most databases have.
    pub fn default_by_hash() -> Self {
        Self::default_with(Routing::Hash { prefix_delimiter: Bytes::new() })
    }
}

/// A cluster as it was declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// How many nodes it is to have: 1, 3, 5 or 7. So many voters each of its
    /// partitions gets, whatever of its nodes happens to be there. 0 once it has departed.
    pub nodes: u32,
    /// Epoch of the map in which this entry was last changed: of two entries of one
    /// cluster, the greater wins.
    pub version: u64,
}

impl Cluster {
    /// Whether it has left the database. Its entry stays, or a map heard late would bring
    /// it back; a later declaration does.
    pub fn has_departed(&self) -> bool {
        self.nodes == 0
    }
}
