//! The classes of keys in a tree.

use bytes::{BufMut, Bytes, BytesMut};

/// The class of a key, which every key in a tree begins with: so system keys stand before
/// user keys, and no scan over one class meets the other.
///
/// Of a system key only the newest version is kept, whatever the floor says, and it is read
/// only at the newest revision. The interval of a partition is over user keys alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyClass {
    /// What a partition keeps of its own: client sessions.
    System,
    /// What clients write.
    User,
}

impl KeyClass {
    /// The class that a key in a tree begins with; `None` if only a newer program knows it.
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::System),
            1 => Some(Self::User),
            _ => None,
        }
    }

    /// The byte in front of the key.
    pub fn byte(self) -> u8 {
        match self {
            Self::System => 0,
            Self::User => 1,
        }
    }

    /// The key as it stands in the tree.
    pub fn tree_key(self, key: &[u8]) -> Bytes {
        let mut out = BytesMut::with_capacity(1 + key.len());
        out.put_u8(self.byte());
        out.put_slice(key);
        out.freeze()
    }

    /// The end of the class: after its last key, before the first of the next one.
    pub(crate) fn end(self) -> Bytes {
        Bytes::copy_from_slice(&[self.byte() + 1])
    }

    /// Whether a key in a tree is of this class.
    pub(crate) fn holds(self, tree_key: &[u8]) -> bool {
        tree_key.first() == Some(&self.byte())
    }
}

/// The key without its class; a key in a tree is never empty.
pub(crate) fn key_of(tree_key: &[u8]) -> &[u8] {
    tree_key.get(1..).unwrap_or_default()
}
