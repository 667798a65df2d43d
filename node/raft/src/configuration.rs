//! Who belongs to a group.

use std::collections::BTreeSet;

use crate::ids::ReplicaId;

/// The members of a group. While `outgoing` is not empty the group is between two configurations,
/// and every decision needs a majority of `voters` and a majority of `outgoing` (paper, §6: joint
/// consensus).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Configuration {
    /// Replicas whose votes and acknowledgements count.
    pub voters: BTreeSet<ReplicaId>,
    /// The voters being left behind; empty outside a membership change.
    pub outgoing: BTreeSet<ReplicaId>,
    /// Replicas that receive the log and never count.
    pub learners: BTreeSet<ReplicaId>,
}

impl Configuration {
    /// A configuration of these voters and nobody else.
    #[must_use]
    pub fn of_voters(voters: impl IntoIterator<Item = ReplicaId>) -> Configuration {
        Configuration { voters: voters.into_iter().collect(), ..Configuration::default() }
    }

    /// Whether the group is between two configurations.
    #[must_use]
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether this replica's vote counts.
    #[must_use]
    pub fn is_voter(&self, id: ReplicaId) -> bool {
        self.voters.contains(&id) || self.outgoing.contains(&id)
    }

    /// Whether this replica only listens.
    #[must_use]
    pub fn is_learner(&self, id: ReplicaId) -> bool {
        self.learners.contains(&id) && !self.is_voter(id)
    }

    /// Everyone who receives the log, each once, in order.
    #[must_use]
    pub fn members(&self) -> BTreeSet<ReplicaId> {
        self.voters.iter().chain(&self.outgoing).chain(&self.learners).copied().collect()
    }

    /// Everyone whose vote counts, each once, in order.
    #[must_use]
    pub fn all_voters(&self) -> BTreeSet<ReplicaId> {
        self.voters.union(&self.outgoing).copied().collect()
    }
}
