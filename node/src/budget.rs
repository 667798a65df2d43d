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
    /// Requests of clients in flight.
    Requests,
    /// Answers that clients have yet to read.
    Answers,
    /// Client sessions of all replicas.
    Sessions,
    /// Batches: those that wait for the log, to be applied, for followers, and for other nodes.
    Replication,
}

impl Share {
    /// All parts.
    pub const ALL: [Share; 7] = [
        Share::Memtables,
        Share::Blocks,
        Share::Tables,
        Share::Requests,
        Share::Answers,
        Share::Sessions,
        Share::Replication,
    ];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Share::Memtables => "memtables",
            Share::Blocks => "blocks",
            Share::Tables => "tables",
            Share::Requests => "requests",
            Share::Answers => "answers",
            Share::Sessions => "sessions",
            Share::Replication => "replication",
        }
    }

    /// How many sixty-fourths of the budget it has.
    fn parts(self) -> u64 {
        match self {
            Share::Memtables => 18,
            Share::Tables => 6,
            Share::Blocks
            | Share::Requests
            | Share::Answers
            | Share::Sessions
            | Share::Replication => 8,
        }
    }
}

/// All bytes that a node may keep in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBudget(pub u64);

impl MemoryBudget {
    /// What a part may use, in bytes.
    pub fn of(self, share: Share) -> u64 {
        self.0 / 64 * share.parts()
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

    #[test]
    fn the_shares_are_the_whole_and_nothing_beyond() {
        let parts: u64 = Share::ALL.iter().map(|share| share.parts()).sum();
        assert_eq!(parts, 64);
        let budget = MemoryBudget(256 << 20);
        let shares: u64 = Share::ALL.iter().map(|share| budget.of(*share)).sum();
        assert_eq!(shares, budget.0);
        assert_eq!(budget.of(Share::Memtables), 72 << 20);
    }
}
