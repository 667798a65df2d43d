//! What a node is told at its start.

use crate::budget::{MemoryBudget, Share};
use anyhow::{Result, ensure};
use doug_proto::access::AccessToken;
use doug_proto::limits;
use doug_proto::map::Ports;
use doug_storage::log::LogOptions;
use doug_storage::store::StoreOptions;
use std::net::IpAddr;
use std::path::PathBuf;

/// Configuration of a node.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node's volume.
    pub data: PathBuf,
    /// For people: for instance `a-0`.
    pub name: String,
    /// The cluster it belongs to.
    pub cluster: String,
    /// The host name or address under which others reach it.
    pub address: String,
    /// Where it listens.
    pub listen: IpAddr,
    /// On which ports.
    pub ports: Ports,
    /// Shortest election timeout; the longest is twice that. At least 10.
    pub election_timeout_milliseconds: u64,
    /// Bytes of memory, the program itself included. At least 64 MiB.
    pub memory_budget: u64,
    /// Bytes of log on disk. At least 64 MiB.
    pub log_limit: u64,
    /// State machines that share the partitions; at least 1. More than one pays
    /// on a machine with cores to spare.
    pub hosts: usize,
    /// How long a partition is idle before it is quiesced, at most a day; 0: never, nor does
    /// any other node's partition that has a replica here.
    pub quiesce_after_milliseconds: u64,
    /// Whether a leader answers linearizable reads without asking its peers, for as
    /// long as by its clock no other can have been elected. To be set alike on all
    /// nodes. It assumes that no clock runs more than 1 % faster than another.
    pub read_leases: bool,
    /// Most tables whose files are open at a time; at least 1.
    pub open_tables: usize,
    /// What Raft and Admin calls must show, and this node's own calls do.
    pub access: AccessToken,
    /// Most connections of clients at a time; by default a half of the descriptors
    /// that this process may have, and 4,096 at most.
    pub max_connections: Option<usize>,
}

/// Milliseconds.
const LONGEST_QUIET: u64 = 24 * 3_600_000;
const LEAST_SEGMENT: u64 = limits::LOG_BYTES / 8;
const _: () = assert!(LEAST_SEGMENT > limits::MESSAGE_BYTES as u64 + (1 << 20));

impl Config {
    /// Checks what can be checked before anything is opened.
    ///
    /// # Errors
    /// The first setting that is out of range, and the range.
    pub fn check(&self) -> Result<()> {
        let timeout = self.election_timeout_milliseconds;
        ensure!(
            (10..=60_000).contains(&timeout),
            "the election timeout is {timeout} ms; it must be 10 to 60000"
        );
        let quiesce = self.quiesce_after_milliseconds;
        ensure!(
            quiesce <= LONGEST_QUIET,
            "partitions were to be quiesced after {quiesce} ms; give at most {LONGEST_QUIET} (a \
             day), or 0 for never"
        );
        let (memory, log) = (self.memory_budget, self.log_limit);
        ensure!(
            memory >= limits::NODE_MEMORY_BYTES,
            "the memory budget is {memory} bytes; give at least {}",
            limits::NODE_MEMORY_BYTES
        );
        ensure!(
            log >= limits::LOG_BYTES,
            "the log limit is {log} bytes; give at least {}",
            limits::LOG_BYTES
        );
        ensure!(
            (1..=64).contains(&self.hosts),
            "{} hosts were asked for; give 1 to 64",
            self.hosts
        );
        Ok(())
    }

    pub(crate) fn budget(&self) -> MemoryBudget {
        MemoryBudget(self.memory_budget)
    }

    pub(crate) fn store_options(&self) -> StoreOptions {
        let mut options = StoreOptions::default();
        options.log = LogOptions {
            segment_bytes: (self.log_limit / 8).clamp(LEAST_SEGMENT, 16 << 20),
            limit_bytes: self.log_limit,
            ..options.log
        };
        options.cache_bytes = self.budget().of(Share::Blocks);
        options.lookup_bytes = self.budget().of(Share::Tables);
        options.open_tables = self.open_tables;
        // A node of the usual size holds about eight replicas, each with an
        // active and a frozen memtable.
        let memtable = (self.budget().of(Share::Memtables) / 16).clamp(1 << 20, 64 << 20);
        options.tree.memtable_bytes = memtable as usize;
        options
    }

    pub(crate) fn request_budget(&self) -> u64 {
        // The largest request must find room alone, however small the budget.
        self.budget().of(Share::Requests).max(limits::MESSAGE_BYTES as u64)
    }

    pub(crate) fn receive_budget(&self) -> usize {
        // So must one request that comes in pieces, and another one.
        let share = self.budget().of(Share::Receiving);
        usize::try_from(share).unwrap_or(usize::MAX).max(limits::MESSAGE_BYTES + (1 << 20))
    }

    pub(crate) fn answer_budget(&self) -> usize {
        // So must the largest answer.
        let share = self.budget().of(Share::Answers);
        usize::try_from(share).unwrap_or(usize::MAX).max(limits::MESSAGE_BYTES)
    }
}
