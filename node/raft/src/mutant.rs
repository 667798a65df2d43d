//! Known bugs of consensus, to be put in one at a time: whoever claims to find bugs shows it on
//! these. Only with the feature `mutants`, which nothing that ships turns on; without it every
//! question whether one is put in is the constant `false`.

/// A bug that [`Config::mutant`](crate::Config::mutant) puts into one replica. Each changes one
/// decision.
#[cfg(feature = "mutants")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mutant {
    /// A vote given in an earlier term counts in this one.
    VoteCountedInLaterTerm,
    /// A vote is granted to a log that is shorter.
    VoteForShorterLog,
    /// An entry of an older term is committed by counting its copies (paper, figure 8).
    OlderTermCommittedByCounting,
    /// The leader counts itself for entries that are not durable on its own disk.
    OwnLogCountedBeforeDurable,
    /// The answer to a heartbeat acknowledges entries that are not durable.
    HeartbeatAcknowledgesBeforeDurable,
    /// A follower takes as committed what this leader has not verified in its log.
    CommitPastVerified,
    /// A new leader answers reads before an entry of its term is committed.
    ReadBeforeOwnTermCommit,
    /// A read counts answers to the round before its own.
    ReadAcknowledgedByOlderRound,
    /// A leader reads by lease while it hands over, and after.
    LeaseKeptDuringTransfer,
    /// In a joint configuration, one majority of all voters decides.
    JointTalliesMerged,
    /// A learner counts like a voter.
    LearnerCounted,
    /// Members change before an entry of the leader's term is committed.
    ChangeBeforeOwnTermCommit,
    /// A snapshot leaves what follows it in a log that contradicts it.
    SnapshotKeepsConflictingLog,
    /// A snapshot is taken in without its membership.
    SnapshotKeepsStaleMembership,
    /// A leader quiesces although one voter has not agreed.
    QuiesceWithoutEveryVoter,
    /// A follower stays quiesced under a process that is gone, although its leader's node has
    /// another liveness epoch by now.
    IncarnationIgnored,
    /// A quiesced leader answers reads without a round.
    ReadServedQuiesced,
    /// A batch's stamp is its clock's, though the batch before has as much or more.
    StampGoesBack,
    /// A batch's stamp does not come after what its requests have seen.
    StampIgnoresToken,
    /// The leader takes its own node's clock for that of the majority.
    OneClockBelieved,
    /// Cutting the log's end leaves the membership in force that was cut off.
    TruncationKeepsStaleMembership,
    /// The vote of a replica with an ambiguous tail counts like any other.
    AmbiguousVoteCounted,
    /// Every pause puts elections off by as long, however many there are.
    PausesCompensatedWithoutBound,
}

#[cfg(feature = "mutants")]
impl Mutant {
    /// All of them.
    pub const ALL: [Mutant; 23] = [
        Mutant::VoteCountedInLaterTerm,
        Mutant::VoteForShorterLog,
        Mutant::OlderTermCommittedByCounting,
        Mutant::OwnLogCountedBeforeDurable,
        Mutant::HeartbeatAcknowledgesBeforeDurable,
        Mutant::CommitPastVerified,
        Mutant::ReadBeforeOwnTermCommit,
        Mutant::ReadAcknowledgedByOlderRound,
        Mutant::LeaseKeptDuringTransfer,
        Mutant::JointTalliesMerged,
        Mutant::LearnerCounted,
        Mutant::ChangeBeforeOwnTermCommit,
        Mutant::SnapshotKeepsConflictingLog,
        Mutant::SnapshotKeepsStaleMembership,
        Mutant::TruncationKeepsStaleMembership,
        Mutant::QuiesceWithoutEveryVoter,
        Mutant::IncarnationIgnored,
        Mutant::ReadServedQuiesced,
        Mutant::StampGoesBack,
        Mutant::StampIgnoresToken,
        Mutant::OneClockBelieved,
        Mutant::AmbiguousVoteCounted,
        Mutant::PausesCompensatedWithoutBound,
    ];
}

#[cfg(feature = "mutants")]
impl crate::Raft {
    /// The bug put into this replica, for whoever asks the same question elsewhere.
    #[must_use]
    pub fn mutant(&self) -> Option<Mutant> {
        self.config.mutant
    }
}

/// Whether a bug is put in.
macro_rules! mutant {
    ($config:expr, $mutant:ident) => {{
        #[cfg(feature = "mutants")]
        let put_in = $config.mutant == Some(crate::mutant::Mutant::$mutant);
        #[cfg(not(feature = "mutants"))]
        let put_in = false;
        put_in
    }};
}
pub(crate) use mutant;
