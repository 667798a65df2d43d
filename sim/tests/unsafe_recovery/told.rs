//! What is put in on purpose, and what came to pass.

use doug_node::host::RecoveryBug;

/// A bug put in on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A partition begins anew with the survivor that is the worst to begin with.
    WorstSurvivor,
    /// One inside the host.
    Host(RecoveryBug),
}

/// What came to pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub acknowledged: usize,
    /// Of these, by how many a recovery made the log shorter.
    pub lost: usize,
    /// Partitions whose survivors' logs ended in different places.
    pub survivors_differed: usize,
    /// Times that the lost elected a leader of their own after they had returned.
    pub old_leaders: usize,
    pub refused_tokens: usize,
    /// Partitions that kept their quorum.
    pub untouched: usize,
}

impl Told {
    pub fn add(&mut self, other: &Told) {
        self.acknowledged += other.acknowledged;
        self.lost += other.lost;
        self.survivors_differed += other.survivors_differed;
        self.old_leaders += other.old_leaders;
        self.refused_tokens += other.refused_tokens;
        self.untouched += other.untouched;
    }
}
