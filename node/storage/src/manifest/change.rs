//! What an edit can say.

use bytes::Bytes;

use super::codec::{Fields, put_applied, put_bytes, put_key, put_u64};
use crate::tree::TreeEdit;
use crate::{Applied, ReplicaKey};

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
    /// The newest partition map, opaque.
    Map(Bytes),
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
    /// A flush or a snapshot: tables, the last command applied in them and the state block after it.
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

const IDENTITY: u8 = 1;
const MAP: u8 = 2;
const CREATION: u8 = 3;
const CREATE: u8 = 4;
const REMOVE: u8 = 5;
const PUBLISH: u8 = 6;
const COMPACT: u8 = 7;
const NEXT_FILE: u8 = 8;
const FENCE: u8 = 9;

impl Change {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Identity(identity) => {
                out.push(IDENTITY);
                put_u64(out, identity.node);
                out.push(u8::from(identity.database.is_some()));
                put_u64(out, identity.database.unwrap_or(0));
            }
            Self::Map(bytes) => put_blob(out, MAP, bytes),
            Self::Creation(bytes) => put_blob(out, CREATION, bytes),
            Self::Create { replica, applied, state } => {
                put_state(out, CREATE, *replica, *applied, state)
            }
            Self::Remove(replica) => {
                out.push(REMOVE);
                put_key(out, *replica);
            }
            Self::Fence { replica, why } => {
                out.push(FENCE);
                put_key(out, *replica);
                put_bytes(out, why.as_bytes());
            }
            Self::Publish { replica, applied, state, tree } => {
                put_state(out, PUBLISH, *replica, *applied, state);
                put_bytes(out, &tree.encode());
            }
            Self::Compact { replica, tree } => {
                out.push(COMPACT);
                put_key(out, *replica);
                put_bytes(out, &tree.encode());
            }
            Self::NextFile(id) => {
                out.push(NEXT_FILE);
                put_u64(out, *id);
            }
        }
    }

    fn decode(fields: &mut Fields<'_>) -> Result<Self, String> {
        Ok(match fields.byte()? {
            IDENTITY => {
                let node = fields.u64()?;
                let known = fields.byte()? != 0;
                let database = fields.u64()?;
                Self::Identity(Identity { node, database: known.then_some(database) })
            }
            MAP => Self::Map(fields.owned()?),
            CREATION => Self::Creation(fields.owned()?),
            CREATE => Self::Create {
                replica: fields.key()?,
                applied: fields.applied()?,
                state: fields.owned()?,
            },
            REMOVE => Self::Remove(fields.key()?),
            FENCE => Self::Fence {
                replica: fields.key()?,
                why: String::from_utf8_lossy(fields.bytes()?).into_owned(),
            },
            PUBLISH => Self::Publish {
                replica: fields.key()?,
                applied: fields.applied()?,
                state: fields.owned()?,
                tree: tree(fields)?,
            },
            COMPACT => Self::Compact { replica: fields.key()?, tree: tree(fields)? },
            NEXT_FILE => Self::NextFile(fields.u64()?),
            unknown => return Err(format!("an edit holds a change of unknown kind {unknown}")),
        })
    }

    /// Reads an edit. The error says what is malformed.
    pub(super) fn decode_all(bytes: &[u8]) -> Result<Vec<Self>, String> {
        let mut fields = Fields(bytes);
        let mut changes = Vec::new();
        while !fields.0.is_empty() {
            changes.push(Self::decode(&mut fields)?);
        }
        Ok(changes)
    }
}

fn put_blob(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    out.push(kind);
    put_bytes(out, bytes);
}

fn put_state(out: &mut Vec<u8>, kind: u8, replica: ReplicaKey, applied: Applied, state: &[u8]) {
    out.push(kind);
    put_key(out, replica);
    put_applied(out, applied);
    put_bytes(out, state);
}

fn tree(fields: &mut Fields<'_>) -> Result<TreeEdit, String> {
    TreeEdit::decode(fields.bytes()?).map_err(str::to_owned)
}
