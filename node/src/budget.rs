//! One budget of memory for a node, and what each of its parts may use of it.

/// A part of a node that keeps things in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Memtables of all replicas, active and frozen.
    Memtables,
    /// The cache of blocks of tables.
    Blocks,
    /// Filters and indexes of open tables.
    Tables,
    /// Requests of clients that are not whole yet, or that nobody reads.
    Receiving,
    /// Requests of clients in flight.
    Requests,
    /// Answers that clients have yet to read.
    Answers,
    /// Client sessions of all replicas.
    Sessions,
    /// Recent changes of replicas that are watched.
    Changes,
    /// Batches: those that wait for the log, to be applied, for followers, and for other nodes.
    Replication,
}

impl Share {
    /// All parts.
    pub const ALL: [Share; 9] = [
        Share::Memtables,
        Share::Blocks,
        Share::Tables,
        Share::Receiving,
        Share::Requests,
        Share::Answers,
        Share::Sessions,
        Share::Changes,
        Share::Replication,
    ];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Share::Memtables => "memtables",
            Share::Blocks => "blocks",
            Share::Tables => "tables",
            Share::Receiving => "receiving",
            Share::Requests => "requests",
            Share::Answers => "answers",
            Share::Sessions => "sessions",
            Share::Changes => "changes",
            Share::Replication => "replication",
        }
    }

    /// How many sixty-fourths of the budget it has.
    fn parts(self) -> u64 {
        match self {
            Share::Memtables => 13,
            Share::Changes => 1,
            Share::Tables => 6,
            Share::Receiving => 4,
            Share::Blocks
            | Share::Requests
            | Share::Answers
            | Share::Sessions
            | Share::Replication => 8,
        }
    }
}

/// What the program itself keeps in memory. The half is its text; the rest are stacks, buffers of
/// flushes and compactions, and what the allocator keeps of what was freed.
const PROGRAM: u64 = 28 << 20;

/// All bytes that a node may keep in memory, the program itself among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBudget(pub u64);

impl MemoryBudget {
    /// What a part may use, in bytes. The parts divide what the program leaves: else a small budget
    /// would be exceeded by the program alone.
    pub fn of(self, share: Share) -> u64 {
        self.0.saturating_sub(PROGRAM) / 64 * share.parts()
    }

    /// Bytes of appends that may wait for one other node, and as many that may wait here from it:
    /// a quarter of [`Share::Replication`] for the four others of a cluster, but always two of the
    /// largest messages.
    pub fn of_a_peer(self) -> usize {
        let share = self.of(Share::Replication) / 4 / 8;
        usize::try_from(share).unwrap_or(usize::MAX).clamp(2 << 20, 16 << 20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doug_proto::limits;

    #[test]
    fn the_shares_and_the_program_are_the_whole_and_nothing_beyond() {
        let parts: u64 = Share::ALL.iter().map(|share| share.parts()).sum();
        assert_eq!(parts, 64);
        let budget = MemoryBudget(256 << 20);
        let shares: u64 = Share::ALL.iter().map(|share| budget.of(*share)).sum();
        assert_eq!(shares + PROGRAM, budget.0);
    }

    #[test]
    fn of_the_least_memory_the_share_of_requests_holds_the_largest() {
        let least = MemoryBudget(limits::NODE_MEMORY_BYTES);
        assert!(least.of(Share::Requests) > limits::REQUEST_BYTES as u64);
    }
}
