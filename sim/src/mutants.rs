//! Bugs put in on purpose, for the checkers to find.

use doug_client::simulation::Bug as LibraryBug;
use doug_node::host::LevelBug;
use doug_raft::Mutant as Core;
use doug_sim_disk::Omission;
use doug_storage::simulation::Bug;

/// One bug.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    /// A replica that believes it leads says that its reads are not stale at all.
    StalenessUnproven,
    /// A write sent again is sent as a new one.
    RetryAsNewWrite,
    /// A node that lost its volume comes back under its old id, with its old replica ids.
    WipedNodeKeepsItsId,
    /// A replica serves reads before it has found its former state again.
    ReadBeforeReplay,
    /// The catalog is given other members before it has its creation document.
    CatalogMovesBare,
    /// A host waits for a place in the log's queue.
    HostWaitsForLog,
    /// Memtables are measured now and then, not with what is applied.
    MemtablesMeasuredRarely,
    /// The liveness probe looks at the hosts' threads only.
    HalfDeadThread,
    /// A bug of the storage engine.
    Storage(Bug),
    /// A bug of feature levels.
    Level(LevelBug),
    /// A bug of the consensus core.
    Consensus(Core),
    /// A bug of the client library.
    Library(LibraryBug),
}

impl Mutant {
    /// The bugs that CI puts in: each is found in its hunting ground.
    pub const ALL: &[Mutant] = &[
        Mutant::NoLogSync,
        Mutant::NoSync,
        Mutant::NoDirectorySync,
        Mutant::VoteNotPersisted,
        Mutant::AcknowledgedBeforeDurable,
        Mutant::ReadWithoutRound,
        Mutant::TokenIgnored,
        Mutant::LagIgnored,
        Mutant::StalenessUnproven,
        Mutant::RetryAsNewWrite,
        Mutant::Storage(Bug::SnapshotWithoutSessions),
        Mutant::Storage(Bug::SessionLostByFlush),
        Mutant::Storage(Bug::SessionFrozenLate),
        Mutant::Storage(Bug::FloorOffByOne),
        Mutant::Storage(Bug::FloorMovedLocally),
        Mutant::Storage(Bug::ClosedByOthers),
        Mutant::Storage(Bug::EvictedChangeForgotten),
        Mutant::Storage(Bug::ProgressOvertakes),
        Mutant::Storage(Bug::ChangeToldTwice),
        Mutant::Storage(Bug::ChangesKeptOverSnapshot),
        Mutant::WipedNodeKeepsItsId,
        Mutant::HalfDeadThread,
        Mutant::ReadBeforeReplay,
        Mutant::HostWaitsForLog,
        Mutant::MemtablesMeasuredRarely,
        Mutant::CatalogMovesBare,
        Mutant::Storage(Bug::AppliedNotAtomic),
        Mutant::Storage(Bug::AppendAfterTornTail),
        Mutant::Storage(Bug::FsyncRetried),
        Mutant::Storage(Bug::RetryAppliedTwice),
        Mutant::Storage(Bug::ElseHalfApplied),
        Mutant::Storage(Bug::IncrementedByRetry),
        Mutant::Storage(Bug::ExpiryIgnoresOverwrite),
        Mutant::Storage(Bug::ExpiryForgottenByStart),
        Mutant::Storage(Bug::ExpiryByStamp),
        Mutant::Storage(Bug::ExpirySleptThrough),
        Mutant::Storage(Bug::BloomFalseNegative),
        Mutant::Storage(Bug::TombstoneDroppedEarly),
        Mutant::Storage(Bug::SegmentFreedEarly),
        Mutant::Storage(Bug::ChecksumIgnored),
        Mutant::Storage(Bug::ManifestNotSynced),
        Mutant::Storage(Bug::TableDeletedEarly),
        Mutant::Storage(Bug::TableForgotten),
        Mutant::Storage(Bug::ReservationIgnored),
        Mutant::Storage(Bug::VoteFreedWithSegment),
        Mutant::Storage(Bug::VoteWithoutProof),
        Mutant::Consensus(Core::VoteCountedInLaterTerm),
        Mutant::Consensus(Core::ReadAcknowledgedByOlderRound),
        Mutant::Consensus(Core::LeaseKeptDuringTransfer),
        Mutant::Level(LevelBug::RaisedEarly),
        Mutant::Level(LevelBug::OldProgramTakenIn),
        Mutant::Consensus(Core::VoteForShorterLog),
        Mutant::Consensus(Core::OwnLogCountedBeforeDurable),
        Mutant::Consensus(Core::HeartbeatAcknowledgesBeforeDurable),
        Mutant::Consensus(Core::CommitPastVerified),
        Mutant::Consensus(Core::ReadBeforeOwnTermCommit),
        Mutant::Consensus(Core::TruncationKeepsStaleMembership),
        Mutant::Consensus(Core::SnapshotKeepsStaleMembership),
        Mutant::Consensus(Core::LearnerCounted),
        Mutant::Consensus(Core::SnapshotKeepsConflictingLog),
        Mutant::Consensus(Core::OlderTermCommittedByCounting),
        Mutant::Consensus(Core::JointTalliesMerged),
        Mutant::Consensus(Core::ChangeBeforeOwnTermCommit),
        Mutant::Consensus(Core::QuiesceWithoutEveryVoter),
        Mutant::Consensus(Core::IncarnationIgnored),
        Mutant::Consensus(Core::ReadServedQuiesced),
        Mutant::Consensus(Core::StampGoesBack),
        Mutant::Consensus(Core::StampIgnoresToken),
        Mutant::Consensus(Core::OneClockBelieved),
        Mutant::Consensus(Core::AmbiguousVoteCounted),
        Mutant::Consensus(Core::PausesCompensatedWithoutBound),
        Mutant::Library(LibraryBug::LostWriteRepeated),
        Mutant::Library(LibraryBug::LeaderForEver),
        Mutant::Library(LibraryBug::UncertaintyForgotten),
        Mutant::Library(LibraryBug::SequencePerAttempt),
        Mutant::Library(LibraryBug::SnapshotForgotten),
        Mutant::Library(LibraryBug::MisroutingTold),
    ];

    /// The bug inside the client library, if it is one there.
    pub fn of_library(self) -> Option<LibraryBug> {
        match self {
            Mutant::Library(bug) => Some(bug),
            _ => None,
        }
    }

    /// The bug of feature levels, if it is one.
    pub fn of_levels(self) -> Option<LevelBug> {
        match self {
            Mutant::Level(bug) => Some(bug),
            _ => None,
        }
    }

    /// The bug inside the consensus core, if it is one there.
    pub fn of_consensus(self) -> Option<Core> {
        match self {
            Mutant::Consensus(mutant) => Some(mutant),
            _ => None,
        }
    }

    /// The bug inside the code that ships, if it is one there.
    pub fn bug(self) -> Option<Bug> {
        match self {
            Mutant::Storage(bug) => Some(bug),
            _ => None,
        }
    }

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
