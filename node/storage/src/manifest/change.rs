//! What an edit can say.

use bytes::Bytes;

use crate::codec::{Decoder, Malformed, put_bytes, put_varint};
use crate::tree::TreeEdit;
use crate::{Applied, ReplicaKey};

/// A change of one entry of the partition map. Key and content are opaque to the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapChange {
    /// Names the entry.
    pub key: Bytes,
    /// What the entry says from now on; `None` if it leaves the map.
    pub content: Option<Bytes>,
}

impl MapChange {
    /// The entry `key` says `content` from now on.
    pub fn set(key: Bytes, content: Bytes) -> Self {
        Self { key, content: Some(content) }
    }

    /// The entry `key` leaves the map.
    pub fn remove(key: Bytes) -> Self {
        Self { key, content: None }
    }
}

impl From<(Bytes, Option<Bytes>)> for MapChange {
    fn from((key, content): (Bytes, Option<Bytes>)) -> Self {
        Self { key, content }
    }
}

/// Who this volume belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The node's id: 48 random bits, made when the empty volume was initialised.
    pub node: u64,
    /// The database, once the node belongs to one.
    pub database: Option<u64>,
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "node {:012x}", self.node)?;
        match self.database {
            Some(database) => write!(f, " of database {database:012x}"),
            None => write!(f, " of no database yet"),
        }
    }
}

/// One change of the manifest; an edit is a list of them that takes effect as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The volume belongs to this node and database.
    Identity(Identity),
    /// One entry of the partition map is another one, or is gone.
    Map(MapChange),
    /// The creation document, opaque.
    Creation(Bytes),
    /// A replica exists from now on.
    Create {
        /// Its key, never used before.
        replica: ReplicaKey,
        /// Where its log starts.
        applied: Applied,
        /// Its first state block, opaque.
        state: Bytes,
    },
    /// A replica is gone for good, if it was ever here; the tombstone stays.
    Remove(ReplicaKey),
    /// A replica's files are damaged: it never votes, acknowledges or answers again.
    Fence {
        /// The replica.
        replica: ReplicaKey,
        /// What is damaged, for people.
        why: String,
    },
    /// Batches that a replica acknowledged may be missing at the end of its log, or no longer.
    AmbiguousTail {
        /// The replica.
        replica: ReplicaKey,
        /// Whether they may.
        ambiguous: bool,
    },
    /// A flush or a snapshot: tables, the last command applied in them and the state block after
    /// it.
    Publish {
        /// The replica.
        replica: ReplicaKey,
        /// The last command applied.
        applied: Applied,
        /// The state block after it.
        state: Bytes,
        /// How the tables change.
        tree: TreeEdit,
    },
    /// A compaction: only tables change.
    Compact {
        /// The replica.
        replica: ReplicaKey,
        /// How the tables change.
        tree: TreeEdit,
    },
    /// File ids below this one may be in use.
    NextFile(u64),
}

/// The kinds of changes; the numbers are on disk.
mod kind {
    pub const IDENTITY: u8 = 1;
    pub const MAP_SET: u8 = 2;
    pub const MAP_REMOVED: u8 = 3;
    pub const CREATION: u8 = 4;
    pub const CREATE: u8 = 5;
    pub const REMOVE: u8 = 6;
    pub const FENCE: u8 = 7;
    pub const PUBLISH: u8 = 8;
    pub const COMPACT: u8 = 9;
    pub const NEXT_FILE: u8 = 10;
    pub const AMBIGUOUS_TAIL: u8 = 11;
}

impl Change {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Identity(identity) => {
                out.push(kind::IDENTITY);
                put_varint(out, identity.node);
                out.push(u8::from(identity.database.is_some()));
                put_varint(out, identity.database.unwrap_or(0));
            }
            Self::Map(MapChange { key, content: Some(content) }) => {
                out.push(kind::MAP_SET);
                put_bytes(out, key);
                put_bytes(out, content);
            }
            Self::Map(MapChange { key, content: None }) => {
                out.push(kind::MAP_REMOVED);
                put_bytes(out, key);
            }
            Self::Creation(document) => {
                out.push(kind::CREATION);
                put_bytes(out, document);
            }
            Self::Create { replica, applied, state } => {
                put_replica(out, kind::CREATE, *replica);
                put_applied(out, *applied);
                put_bytes(out, state);
            }
            Self::Remove(replica) => put_replica(out, kind::REMOVE, *replica),
            Self::Fence { replica, why } => {
                put_replica(out, kind::FENCE, *replica);
                put_bytes(out, why.as_bytes());
            }
            Self::AmbiguousTail { replica, ambiguous } => {
                put_replica(out, kind::AMBIGUOUS_TAIL, *replica);
                out.push(u8::from(*ambiguous));
            }
            Self::Publish { replica, applied, state, tree } => {
                put_replica(out, kind::PUBLISH, *replica);
                put_applied(out, *applied);
                put_bytes(out, state);
                tree.encode(out);
            }
            Self::Compact { replica, tree } => {
                put_replica(out, kind::COMPACT, *replica);
                tree.encode(out);
            }
            Self::NextFile(id) => {
                out.push(kind::NEXT_FILE);
                put_varint(out, *id);
            }
        }
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, String> {
        Ok(match from.u8()? {
            kind::IDENTITY => {
                let node = from.varint()?;
                let known = from.u8()? != 0;
                let database = from.varint()?;
                Self::Identity(Identity { node, database: known.then_some(database) })
            }
            kind::MAP_SET => Self::Map(MapChange::set(owned(from)?, owned(from)?)),
            kind::MAP_REMOVED => Self::Map(MapChange::remove(owned(from)?)),
            kind::CREATION => Self::Creation(owned(from)?),
            kind::CREATE => Self::Create {
                replica: replica(from)?,
                applied: applied(from)?,
                state: owned(from)?,
            },
            kind::REMOVE => Self::Remove(replica(from)?),
            kind::FENCE => Self::Fence {
                replica: replica(from)?,
                why: String::from_utf8_lossy(from.bytes()?).into_owned(),
            },
            kind::AMBIGUOUS_TAIL => {
                Self::AmbiguousTail { replica: replica(from)?, ambiguous: from.u8()? != 0 }
            }
            kind::PUBLISH => Self::Publish {
                replica: replica(from)?,
                applied: applied(from)?,
                state: owned(from)?,
                tree: TreeEdit::decode(from)?,
            },
            kind::COMPACT => {
                Self::Compact { replica: replica(from)?, tree: TreeEdit::decode(from)? }
            }
            kind::NEXT_FILE => Self::NextFile(from.varint()?),
            unknown => return Err(format!("a change is of unknown kind {unknown}")),
        })
    }

    /// Reads an edit. The error says what is malformed.
    pub(super) fn decode_all(bytes: &[u8]) -> Result<Vec<Self>, String> {
        let mut from = Decoder::new(bytes);
        let mut changes = Vec::new();
        while from.position() < bytes.len() {
            changes.push(
                Self::decode(&mut from).map_err(|why| format!("an edit is malformed: {why}"))?,
            );
        }
        Ok(changes)
    }
}

fn put_replica(out: &mut Vec<u8>, kind: u8, replica: ReplicaKey) {
    out.push(kind);
    put_varint(out, replica.partition);
    put_varint(out, replica.replica);
}

fn put_applied(out: &mut Vec<u8>, applied: Applied) {
    put_varint(out, applied.index);
    put_varint(out, applied.term);
}

fn replica(from: &mut Decoder<'_>) -> Result<ReplicaKey, Malformed> {
    Ok(ReplicaKey { partition: from.varint()?, replica: from.varint()? })
}

fn applied(from: &mut Decoder<'_>) -> Result<Applied, Malformed> {
    Ok(Applied { index: from.varint()?, term: from.varint()? })
}

fn owned(from: &mut Decoder<'_>) -> Result<Bytes, Malformed> {
    Ok(Bytes::copy_from_slice(from.bytes()?))
}
