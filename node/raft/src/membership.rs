//! A configuration as it stands in the log, and its history there.
//!
//! The single command of a [`BatchKind::Configuration`](crate::BatchKind::Configuration) batch,
//! little-endian:
//!
//! | offset | size | field |
//! |-------:|-----:|-------|
//! | 0  | 2 | format version, [`MEMBERSHIP_FORMAT_VERSION`] |
//! | 2  | 2 | reserved, 0 |
//! | 4  | 4 | count of voters, V |
//! | 8  | 4 | count of outgoing voters, O |
//! | 12 | 4 | count of learners, L |
//! | 16 | 4 | length of the context, C |
//! | 20 | 8 × V | voters: replica ids, ascending, none of them 0 |
//! | …  | 8 × O | outgoing voters, likewise |
//! | …  | 8 × L | learners, likewise |
//! | …  | C | context: what the state machine keeps beside it |
//!
//! The version keeps its place in every later one. The batch around it carries the checksum.

use std::collections::{BTreeSet, VecDeque};

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

use crate::configuration::Configuration;
use crate::ids::{Index, ReplicaId};

/// The membership format this program writes, and the newest it reads.
pub const MEMBERSHIP_FORMAT_VERSION: u16 = 1;

const HEADER_BYTES: usize = 20;

/// A configuration, with what the state machine keeps beside it. The default one has no members.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Membership {
    /// Who belongs to the group.
    pub configuration: Configuration,
    /// Never looked into by the core.
    pub context: Bytes,
}

/// Why bytes are not a membership.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MembershipError {
    /// Fewer or more bytes than its counts say.
    #[error("a membership of {found} bytes should have {expected} by its own counts")]
    Length {
        /// What the counts say, or the header's own size.
        expected: u64,
        /// What was given.
        found: u64,
    },
    /// Written by a newer program.
    #[error(
        "a membership has format version {found}, this program reads up to {supported}: run a \
         newer doug on this node"
    )]
    NewerFormat {
        /// The version met.
        found: u16,
        /// The newest version this program reads.
        supported: u16,
    },
    /// It makes no sense.
    #[error("a membership is malformed: {0}")]
    Malformed(&'static str),
}

impl Membership {
    /// A membership without context.
    #[must_use]
    pub fn of(configuration: Configuration) -> Membership {
        Membership { configuration, context: Bytes::new() }
    }

    /// The command that stands in the log. Panics if the context exceeds 4 GiB, which its batch
    /// could not hold either.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let Configuration { voters, outgoing, learners } = &self.configuration;
        let sets = [voters, outgoing, learners];
        let ids: usize = sets.iter().map(|set| set.len()).sum();
        let mut out = BytesMut::with_capacity(HEADER_BYTES + 8 * ids + self.context.len());
        out.put_u16_le(MEMBERSHIP_FORMAT_VERSION);
        out.put_u16_le(0);
        for set in sets {
            out.put_u32_le(u32::try_from(set.len()).expect("a group has fewer than 2^32 members"));
        }
        out.put_u32_le(u32::try_from(self.context.len()).expect("a context is below 4 GiB"));
        for id in sets.into_iter().flatten() {
            out.put_u64_le(id.0);
        }
        out.put_slice(&self.context);
        out.freeze()
    }

    /// Reads a membership that takes up all of `command`; its context shares those bytes.
    pub fn decode(command: &Bytes) -> Result<Membership, MembershipError> {
        let found = command.len() as u64;
        let Some((header, rest)) = command.split_at_checked(HEADER_BYTES) else {
            return Err(MembershipError::Length { expected: HEADER_BYTES as u64, found });
        };
        let version = u16::from_le_bytes([header[0], header[1]]);
        if version > MEMBERSHIP_FORMAT_VERSION {
            let supported = MEMBERSHIP_FORMAT_VERSION;
            return Err(MembershipError::NewerFormat { found: version, supported });
        }
        if version == 0 || header[2..4] != [0, 0] {
            return Err(MembershipError::Malformed(
                "its version is zero or its reserved bytes are not",
            ));
        }
        let count = |at: usize| {
            u64::from(u32::from_le_bytes([
                header[at],
                header[at + 1],
                header[at + 2],
                header[at + 3],
            ]))
        };
        let (voters, outgoing, learners, context) = (count(4), count(8), count(12), count(16));
        let expected = HEADER_BYTES as u64 + 8 * (voters + outgoing + learners) + context;
        if expected != found {
            return Err(MembershipError::Length { expected, found });
        }
        // From here on the counts are known to fit the bytes, so they may be trusted.
        let (voters, rest) = read_ids(rest, voters as usize)?;
        let (outgoing, rest) = read_ids(rest, outgoing as usize)?;
        let (learners, rest) = read_ids(rest, learners as usize)?;
        Ok(Membership {
            configuration: Configuration { voters, outgoing, learners },
            context: command.slice_ref(rest),
        })
    }
}

fn read_ids(bytes: &[u8], count: usize) -> Result<(BTreeSet<ReplicaId>, &[u8]), MembershipError> {
    let (ids, rest) = bytes.split_at(8 * count);
    let mut set = BTreeSet::new();
    let mut last = 0;
    for id in ids.chunks_exact(8) {
        let id = u64::from_le_bytes(id.try_into().expect("chunks have eight bytes"));
        if id <= last {
            return Err(MembershipError::Malformed("its replica ids do not ascend from 1"));
        }
        last = id;
        set.insert(ReplicaId(id));
    }
    Ok((set, rest))
}

/// The memberships of a log: the one at its base, and those that entered it since. A configuration
/// takes effect as soon as it is in the log (paper, §6), so cutting the log's end must bring the
/// one before back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Memberships {
    base: Membership,
    later: VecDeque<(Index, Membership)>,
}

impl Memberships {
    pub(crate) fn starting_with(base: Membership) -> Memberships {
        Memberships { base, later: VecDeque::new() }
    }

    pub(crate) fn latest(&self) -> &Membership {
        self.later.back().map_or(&self.base, |(_, membership)| membership)
    }

    /// Where the latest one stands in the log; `None` if that is forgotten.
    pub(crate) fn latest_index(&self) -> Option<Index> {
        self.later.back().map(|&(index, _)| index)
    }

    /// The one before the latest; the latest itself if nothing before it is known.
    pub(crate) fn previous(&self) -> &Membership {
        match self.later.len() {
            0 | 1 => &self.base,
            n => &self.later[n - 2].1,
        }
    }

    /// Where those that the log holds stand, in order.
    pub(crate) fn indices(&self) -> impl Iterator<Item = Index> {
        self.later.iter().map(|&(index, _)| index)
    }

    pub(crate) fn push(&mut self, index: Index, membership: Membership) {
        self.later.push_back((index, membership));
    }

    /// The log was cut from `base` on.
    pub(crate) fn truncate(&mut self, base: Index) {
        while self.later.back().is_some_and(|&(index, _)| index >= base) {
            self.later.pop_back();
        }
    }

    /// The log is forgotten up to `index`.
    pub(crate) fn compact(&mut self, index: Index) {
        while self.later.front().is_some_and(|&(at, _)| at <= index) {
            let (_, membership) = self.later.pop_front().expect("it was just seen");
            self.base = membership;
        }
    }

    /// A snapshot knows the membership at the base better than this log: what stood before the log
    /// began is in no batch.
    pub(crate) fn replace_base(&mut self, base: Membership) {
        self.base = base;
    }
}
