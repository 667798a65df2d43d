//! What a node measures of itself each time its metrics are asked for.

use crate::budget::MemoryBudget;
use crate::flow::Class;

/// All gauges of a node at one moment: the engine fills it in, so that metrics need not know
/// what the parts of a node are.
#[derive(Debug)]
pub struct Measured {
    /// What is measured of the hosts.
    pub hosts: HostsMeasured,
    /// Bytes of requests in flight.
    pub request_bytes: u64,
    /// Bytes of answers that clients have not read yet.
    pub answer_bytes: usize,
    /// Bytes of requests that are not whole, or that nobody reads.
    pub received_bytes: usize,
    /// Of each class, the operations under way and how many may be.
    pub under_way: [(Class, u64, u64); Class::ALL.len()],
    /// Bytes of log on disk.
    pub log_bytes: u64,
    /// Whether the log ended in a record that did not read when the process started.
    pub log_tail_cut: bool,
    /// The volume; `None` if nothing can be known of it.
    pub volume: Option<VolumeMeasured>,
    /// Whether writes are refused because the volume is full.
    pub refuses_writes: bool,
    /// Bytes of the memtables of all replicas.
    pub memtable_bytes: u64,
    /// Bytes of filters and indexes of tables.
    pub lookup_bytes: u64,
    /// Bytes that the client sessions of all replicas count for.
    pub session_bytes: u64,
    /// Bytes of recent changes that are kept for watches.
    pub change_bytes: u64,
    /// Watches that wait for something to tell.
    pub waiting_watches: usize,
    /// Tables whose files are open.
    pub open_tables: usize,
    /// Epoch of the partition map; 0 if there is none.
    pub map_epoch: u64,
    /// What all parts together may keep in memory.
    pub budget: MemoryBudget,
    /// The replicas.
    pub replicas: Vec<ReplicaMeasured>,
    /// The threads of the process.
    pub threads: Vec<ThreadMeasured>,
}

/// What is measured of all hosts together.
#[derive(Debug)]
pub struct HostsMeasured {
    /// By how many milliseconds the wall clock is ahead of what is heard of others', or behind it
    /// if negative.
    pub clock_offset: i64,
    /// Partitions led.
    pub leaderships: usize,
    /// Replicas that are quiesced.
    pub quiesced: usize,
    /// Replicas that have yet to find out whether they lost what they had acknowledged.
    pub ambiguous_tails: usize,
    /// Bytes given to the log and not yet durable.
    pub log_backlog_bytes: u64,
}

/// What is measured of the volume, in bytes.
#[derive(Debug)]
pub struct VolumeMeasured {
    /// All of it.
    pub total: u64,
    /// What is not in use.
    pub free: u64,
    /// What is left for data.
    pub available: u64,
    /// What is promised to tables and not written yet.
    pub reserved: u64,
}

/// What is measured of a replica.
#[derive(Debug)]
pub struct ReplicaMeasured {
    /// Its partition.
    pub partition: u64,
    /// Its partition's keyspace, if the map lists it.
    pub keyspace: Option<String>,
    /// Whether it leads.
    pub leads: bool,
    /// Client sessions of its partition.
    pub sessions: usize,
    /// Bytes of its SSTables and memtables.
    pub bytes: u64,
    /// Bytes that compaction owes.
    pub compaction_debt: u64,
    /// The last index applied.
    pub applied: u64,
}

/// What is measured of a thread.
#[derive(Debug)]
pub struct ThreadMeasured {
    /// The kernel's name for it.
    pub id: u64,
    /// Its own name.
    pub name: String,
    /// How often it has waited so far.
    pub wake_ups: u64,
}
