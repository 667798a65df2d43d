//! What the tests stand on: one replica driven by hand, and a whole group on a simulated network
//! and disk.
#![allow(dead_code)]

pub mod check;
mod clocks;
pub mod cluster;
pub mod disk;
mod events;
pub mod node;
pub mod quiesce;
pub mod replica;
pub mod story;
pub mod weather;

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use doug_raft::{
    Batch, BatchKind, BatchTime, Clock, Config, Configuration, Index, Membership, PartitionId,
    ReplicaId, Restored, Stamp, Term,
};

pub const PARTITION: PartitionId = PartitionId(7);

pub const MICROSECOND: Duration = Duration::from_micros(1);
pub const MILLISECOND: Duration = Duration::from_millis(1);

pub fn id(id: u64) -> ReplicaId {
    ReplicaId(id)
}

pub fn voters(ids: impl IntoIterator<Item = u64>) -> Configuration {
    Configuration::of_voters(ids.into_iter().map(ReplicaId))
}

pub fn config(replica: u64) -> Config {
    Config::new(PARTITION, ReplicaId(replica), 1)
}

pub fn command(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// A batch of one-letter commands: `commands(3, 5, "ab")` takes indexes 5 and 6 in term 3.
pub fn commands(term: Term, base: Index, letters: &str) -> Batch {
    let list: Vec<Bytes> = letters.chars().map(|letter| command(&letter.to_string())).collect();
    Batch::encode(PARTITION, BatchKind::Commands, term, base, made_at(base), &list)
}

/// The time of a batch made by hand. Leaders to whom nobody shows a clock count stamps up by one a
/// batch, so those of a log mixed of both rise too.
pub fn made_at(base: Index) -> BatchTime {
    BatchTime { clock: Clock(0), stamp: Stamp(base) }
}

pub fn noop(term: Term, base: Index) -> Batch {
    Batch::encode(PARTITION, BatchKind::Noop, term, base, made_at(base), &[])
}

/// A batch that brings this configuration.
pub fn change(term: Term, base: Index, configuration: Configuration) -> Batch {
    let command = Membership::of(configuration).encode();
    Batch::encode(PARTITION, BatchKind::Configuration, term, base, made_at(base), &[command])
}

/// The configuration between two sets of voters.
pub fn joint(
    outgoing: impl IntoIterator<Item = u64>,
    incoming: impl IntoIterator<Item = u64>,
) -> Configuration {
    Configuration { outgoing: voters(outgoing).voters, ..voters(incoming) }
}

/// A configuration in words.
pub fn describe(configuration: &Configuration) -> String {
    let list = |ids: &BTreeSet<ReplicaId>| {
        ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    let mut words = format!("voters {}", list(&configuration.voters));
    for (name, ids) in
        [("outgoing", &configuration.outgoing), ("learners", &configuration.learners)]
    {
        if !ids.is_empty() {
            words += &format!("; {name} {}", list(ids));
        }
    }
    words
}

/// A log of single commands with these terms, from index 1.
pub fn log_of_terms(terms: &[Term]) -> Vec<Batch> {
    terms.iter().zip(1..).map(|(&term, index)| commands(term, index, "x")).collect()
}

pub fn restored(configuration: Configuration, term: Term, batches: Vec<Batch>) -> Restored {
    Restored { term, batches, ..Restored::empty(Membership::of(configuration)) }
}
