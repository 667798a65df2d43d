//! The batch: the unit of log, wire and checksum. Encoded once by the leader, never cut again.
//!
//! Layout, little-endian:
//!
//! | offset | size | field |
//! |-------:|-----:|-------|
//! | 0  | 4 | CRC-32 (IEEE) of every byte that follows |
//! | 4  | 4 | length of the whole batch, this header included |
//! | 8  | 2 | format version, [`FORMAT_VERSION`] |
//! | 10 | 1 | kind: 1 no-op, 2 commands, 3 configuration, 4 recovery |
//! | 11 | 1 | reserved, 0 |
//! | 12 | 4 | count: how many indexes the batch takes, at least 1; a recovery 2³⁰ |
//! | 16 | 8 | partition |
//! | 24 | 8 | term of the leader that made it |
//! | 32 | 8 | base: index of its first command |
//! | 40 | 8 | clock: milliseconds since 1970, never below that of the batch before |
//! | 48 | 8 | stamp: above that of the batch before, at or above the clock |
//! | 56 | … | count × (u32 length, bytes); nothing at all in a no-op |
//!
//! The first ten bytes keep their meaning in every later version, so that an older program can say
//! what it met.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

use crate::clock::{BatchTime, Clock, Stamp};
use crate::ids::{Index, PartitionId, Term};
use crate::membership::{Membership, MembershipError};

/// The batch format this program writes, and the newest it reads.
pub const FORMAT_VERSION: u16 = 1;

/// Bytes before the first command.
pub const HEADER_BYTES: usize = 56;

/// The indexes that a recovery takes. The lost group may have committed entries above the log's end
/// of the replica that the group begins with anew; none of the new group's has such an index again,
/// so what names one (a session, a token, a condition) cannot be taken for another.
pub const RECOVERY_INDEXES: u32 = 1 << 30;

/// What a batch holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BatchKind {
    /// The empty command with which a leader opens its term (paper, §8).
    Noop,
    /// Commands of the state machine.
    Commands,
    /// A change of the group's membership: one command, an encoded [`Membership`].
    Configuration,
    /// The group begins anew from one replica ([`Raft::recover`](crate::Raft::recover)): one
    /// command, the [`Membership`] it begins with, which takes [`RECOVERY_INDEXES`].
    Recovery,
}

impl BatchKind {
    /// Whether its command is an encoded [`Membership`].
    #[must_use]
    pub fn is_membership(self) -> bool {
        matches!(self, BatchKind::Configuration | BatchKind::Recovery)
    }
}

/// A run of log entries of one term, with the bytes that stand in every log and on the wire.
/// Cloning shares the bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Batch {
    /// The group whose log it belongs to.
    pub partition: PartitionId,
    /// What it holds.
    pub kind: BatchKind,
    /// Term of the leader that made it.
    pub term: Term,
    /// Index of its first command.
    pub base: Index,
    /// How many indexes it takes, at least 1.
    pub count: u32,
    /// When it was made.
    pub time: BatchTime,
    /// The whole batch as encoded, checksum included. Nothing while it is evicted.
    pub encoded: Bytes,
    /// Bytes of the encoded batch, evicted or not.
    size: u64,
}

/// Why bytes are not a batch.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BatchError {
    /// Fewer or more bytes than the batch says it has.
    #[error(
        "a batch of {found} bytes says it has {expected}: it was cut or glued on its way; read it \
         again from its source"
    )]
    Length {
        /// What the header says, or the header's own size.
        expected: u64,
        /// What was given.
        found: u64,
    },
    /// The checksum does not fit the bytes.
    #[error(
        "a batch has checksum {found:08x} but says {expected:08x}: its bytes are damaged; read it \
         again from its source"
    )]
    Checksum {
        /// The checksum in the header.
        expected: u32,
        /// The checksum of the bytes.
        found: u32,
    },
    /// Written by a newer program.
    #[error(
        "a batch has format version {found}, this program reads up to {supported}: run a newer \
         doug on this node"
    )]
    NewerFormat {
        /// The version met.
        found: u16,
        /// The newest version this program reads.
        supported: u16,
    },
    /// The checksum fits, yet the content makes no sense: a bug in the program that wrote it.
    #[error(
        "a batch is malformed although its checksum fits: {0}; please report this as a bug of the \
         node that wrote it"
    )]
    Malformed(&'static str),
    /// Its change of the membership cannot be read.
    #[error(transparent)]
    Membership(#[from] MembershipError),
}

impl Batch {
    /// Encodes a batch whose first command gets index `base`.
    ///
    /// A no-op takes one index and no command; a configuration or recovery exactly one command.
    /// Panics if the kind and the number of commands do not fit, or the whole exceeds 4 GiB: both are limits the
    /// callers enforce long before.
    #[must_use]
    pub fn encode(
        partition: PartitionId,
        kind: BatchKind,
        term: Term,
        base: Index,
        time: BatchTime,
        commands: &[Bytes],
    ) -> Batch {
        let count = match kind {
            BatchKind::Noop => {
                assert!(commands.is_empty(), "a no-op batch carries no command");
                1
            }
            BatchKind::Configuration => {
                assert!(commands.len() == 1, "a configuration batch carries exactly one command");
                1
            }
            BatchKind::Recovery => {
                assert!(commands.len() == 1, "a recovery carries exactly one command");
                RECOVERY_INDEXES
            }
            BatchKind::Commands => {
                assert!(!commands.is_empty(), "a batch of commands carries at least one");
                u32::try_from(commands.len()).expect("a batch has fewer than 2^32 commands")
            }
        };
        let length = HEADER_BYTES + commands.iter().map(|command| 4 + command.len()).sum::<usize>();
        let mut out = BytesMut::with_capacity(length);
        out.put_u32_le(0);
        out.put_u32_le(u32::try_from(length).expect("a batch is smaller than 4 GiB"));
        out.put_u16_le(FORMAT_VERSION);
        out.put_u8(kind.to_byte());
        out.put_u8(0);
        out.put_u32_le(count);
        out.put_u64_le(partition.0);
        out.put_u64_le(term);
        out.put_u64_le(base);
        out.put_u64_le(time.clock.0);
        out.put_u64_le(time.stamp.0);
        for command in commands {
            out.put_u32_le(command.len() as u32);
            out.put_slice(command);
        }
        let checksum = crc32fast::hash(&out[4..]);
        out[..4].copy_from_slice(&checksum.to_le_bytes());
        let size = length as u64;
        Batch { partition, kind, term, base, count, time, encoded: out.freeze(), size }
    }

    /// Reads a batch that takes up all of `encoded`, verifying length, checksum, version and shape.
    pub fn decode(encoded: Bytes) -> Result<Batch, BatchError> {
        if encoded.len() < HEADER_BYTES {
            return Err(BatchError::Length {
                expected: HEADER_BYTES as u64,
                found: encoded.len() as u64,
            });
        }
        let length = u32_at(&encoded, 4);
        if u64::from(length) != encoded.len() as u64 {
            return Err(BatchError::Length {
                expected: length.into(),
                found: encoded.len() as u64,
            });
        }
        let (expected, found) = (u32_at(&encoded, 0), crc32fast::hash(&encoded[4..]));
        if expected != found {
            return Err(BatchError::Checksum { expected, found });
        }
        let version = u16::from_le_bytes([encoded[8], encoded[9]]);
        if version > FORMAT_VERSION {
            return Err(BatchError::NewerFormat { found: version, supported: FORMAT_VERSION });
        }
        if version == 0 || encoded[11] != 0 {
            return Err(BatchError::Malformed("its version is zero or its reserved byte is not"));
        }
        let batch = Batch {
            kind: BatchKind::from_byte(encoded[10])
                .ok_or(BatchError::Malformed("its kind is unknown"))?,
            count: u32_at(&encoded, 12),
            partition: PartitionId(u64_at(&encoded, 16)),
            term: u64_at(&encoded, 24),
            base: u64_at(&encoded, 32),
            time: BatchTime {
                clock: Clock(u64_at(&encoded, 40)),
                stamp: Stamp(u64_at(&encoded, 48)),
            },
            size: encoded.len() as u64,
            encoded,
        };
        batch.check_shape()?;
        Ok(batch)
    }

    fn check_shape(&self) -> Result<(), BatchError> {
        if self.count == 0 || self.base == 0 || self.term == 0 {
            return Err(BatchError::Malformed("its count, base or term is zero"));
        }
        if self.base.checked_add(u64::from(self.count)).is_none() {
            return Err(BatchError::Malformed("its last index is beyond 2^64"));
        }
        if self.time.stamp < Stamp::first_of(self.time.clock) {
            return Err(BatchError::Malformed("its stamp is below its clock"));
        }
        let fits = match self.kind {
            BatchKind::Commands => true,
            BatchKind::Recovery => self.count == RECOVERY_INDEXES,
            BatchKind::Noop | BatchKind::Configuration => self.count == 1,
        };
        if !fits {
            return Err(BatchError::Malformed("its count does not fit its kind"));
        }
        let mut at = HEADER_BYTES;
        let commands = self.command_count();
        for _ in 0..commands {
            if self.encoded.len() - at < 4 {
                return Err(BatchError::Malformed("it ends inside a command's length"));
            }
            let length = u32_at(&self.encoded, at) as usize;
            at += 4;
            if self.encoded.len() - at < length {
                return Err(BatchError::Malformed("it ends inside a command"));
            }
            at += length;
        }
        if at != self.encoded.len() {
            return Err(BatchError::Malformed("bytes follow its last command"));
        }
        if self.kind.is_membership() {
            Membership::decode(&self.encoded.slice(HEADER_BYTES + 4..))?;
        }
        Ok(())
    }

    /// Index of its last command.
    #[must_use]
    pub fn last(&self) -> Index {
        self.base + u64::from(self.count) - 1
    }

    /// Its commands in order, as slices that share the batch's bytes: one kept alive keeps the
    /// whole batch alive. Nothing for a no-op.
    #[must_use]
    pub fn commands(&self) -> Commands {
        let left = self.command_count();
        Commands { encoded: self.encoded.clone(), at: HEADER_BYTES, left }
    }

    fn command_count(&self) -> u32 {
        match self.kind {
            BatchKind::Noop => 0,
            BatchKind::Commands => self.count,
            BatchKind::Configuration | BatchKind::Recovery => 1,
        }
    }

    /// Encoded size in bytes, evicted or not.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Lets go of its bytes, to be read from the log again when they are needed. For batches that
    /// are durable there.
    pub fn evict(&mut self) {
        self.encoded = Bytes::new();
    }

    /// Whether its bytes are in the log only.
    #[must_use]
    pub fn is_evicted(&self) -> bool {
        self.encoded.is_empty()
    }
}

impl BatchKind {
    fn to_byte(self) -> u8 {
        match self {
            BatchKind::Noop => 1,
            BatchKind::Commands => 2,
            BatchKind::Configuration => 3,
            BatchKind::Recovery => 4,
        }
    }

    fn from_byte(byte: u8) -> Option<BatchKind> {
        match byte {
            1 => Some(BatchKind::Noop),
            2 => Some(BatchKind::Commands),
            3 => Some(BatchKind::Configuration),
            4 => Some(BatchKind::Recovery),
            _ => None,
        }
    }
}

/// The commands of a batch, in order. See [`Batch::commands`].
#[derive(Clone, Debug)]
pub struct Commands {
    encoded: Bytes,
    at: usize,
    left: u32,
}

impl Iterator for Commands {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        self.left = self.left.checked_sub(1)?;
        let start = self.at + 4;
        self.at = start + u32_at(&self.encoded, self.at) as usize;
        Some(self.encoded.slice(start..self.at))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for Commands {}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            BatchKind::Noop => "noop",
            BatchKind::Commands => "commands",
            BatchKind::Configuration => "configuration",
            BatchKind::Recovery => "recovery",
        };
        if self.count == 1 {
            write!(f, "{kind} {} (term {})", self.base, self.term)
        } else {
            write!(f, "{kind} {}–{} (term {})", self.base, self.last(), self.term)
        }
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch[partition {}, {self}, {} bytes]", self.partition, self.encoded.len())
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
