//! Bugs put in on purpose, each of which some checker must find.

use doug_sim_disk::Omission;

/// One bug.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mutant {
    /// None.
    #[default]
    None,
    /// The log's fdatasync is deleted.
    NoLogSync,
    /// Every fdatasync is deleted.
    NoSync,
    /// Every fsync of a directory is deleted.
    NoDirectorySync,
    /// Terms and votes are not written to the log.
    VoteNotPersisted,
    /// Records are called durable before they are.
    AcknowledgedBeforeDurable,
    /// Linearizable reads are served without a round that proves the leadership.
    ReadWithoutRound,
    /// Reads with a session token are served at once.
    TokenIgnored,
    /// Bounded reads are served at once.
    LagIgnored,
    /// A write sent again is sent as a new one.
    RetryAsNewWrite,
    /// A snapshot is taken in without its sessions.
    SnapshotWithoutSessions,
}

impl Mutant {
    /// All bugs.
    pub const ALL: [Mutant; 10] = [
        Mutant::NoLogSync,
        Mutant::NoSync,
        Mutant::NoDirectorySync,
        Mutant::VoteNotPersisted,
        Mutant::AcknowledgedBeforeDurable,
        Mutant::ReadWithoutRound,
        Mutant::TokenIgnored,
        Mutant::LagIgnored,
        Mutant::RetryAsNewWrite,
        Mutant::SnapshotWithoutSessions,
    ];

    /// What the disks leave undone.
    pub fn omission(self) -> Omission {
        match self {
            Mutant::NoLogSync => Omission::LogSync,
            Mutant::NoSync => Omission::EverySync,
            Mutant::NoDirectorySync => Omission::DirectorySync,
            _ => Omission::Nothing,
        }
    }
}
