//! Counting: what a majority of each half of a configuration has done.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::configuration::Configuration;
use crate::ids::ReplicaId;
use crate::mutant::mutant;
use crate::raft::Raft;

/// Voters of a group that is small enough to be counted on the stack.
const FEW: usize = 9;

/// The state of an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VoteResult {
    /// A quorum said yes.
    Won,
    /// A quorum can no longer be had.
    Lost,
    /// Neither yet.
    Pending,
}

impl Raft {
    /// The configuration by which this replica counts: the latest in its log.
    pub(crate) fn deciding(&self) -> Cow<'_, Configuration> {
        let latest = self.configuration();
        if mutant!(self.config, JointTalliesMerged) {
            return Cow::Owned(Configuration::of_voters(latest.all_voters()));
        }
        if mutant!(self.config, LearnerCounted) {
            let voters = latest.voters.union(&latest.learners).copied().collect();
            return Cow::Owned(Configuration { voters, ..latest.clone() });
        }
        Cow::Borrowed(latest)
    }
}

impl Configuration {
    /// The greatest value that a quorum has reached. In joint consensus the two majorities are counted apart and the
    /// lesser result counts: one merged tally would let either configuration decide alone.
    #[must_use]
    pub fn reached(&self, value: impl Fn(ReplicaId) -> u64) -> u64 {
        let incoming = majority_reached(&self.voters, &value);
        if self.outgoing.is_empty() {
            incoming
        } else {
            incoming.min(majority_reached(&self.outgoing, &value))
        }
    }

    /// The result of an election, given the answers so far.
    #[must_use]
    pub fn tally(&self, votes: &BTreeMap<ReplicaId, bool>) -> VoteResult {
        let incoming = majority_tally(&self.voters, votes);
        if self.outgoing.is_empty() {
            return incoming;
        }
        match (incoming, majority_tally(&self.outgoing, votes)) {
            (VoteResult::Won, VoteResult::Won) => VoteResult::Won,
            (VoteResult::Lost, _) | (_, VoteResult::Lost) => VoteResult::Lost,
            _ => VoteResult::Pending,
        }
    }
}

fn majority_reached(voters: &BTreeSet<ReplicaId>, value: &impl Fn(ReplicaId) -> u64) -> u64 {
    if voters.len() > FEW {
        let mut values: Vec<u64> = voters.iter().map(|&id| value(id)).collect();
        return majority_of(&mut values);
    }
    // Asked at every tick and every answer: groups of the usual sizes cost no allocation.
    let mut values = [0; FEW];
    for (slot, &id) in values.iter_mut().zip(voters) {
        *slot = value(id);
    }
    majority_of(&mut values[..voters.len()])
}

/// The greatest value that more than half of them have reached; 0 of none.
fn majority_of(values: &mut [u64]) -> u64 {
    values.sort_unstable();
    values.len().checked_sub(1).map_or(0, |last| values[last / 2])
}

fn majority_tally(voters: &BTreeSet<ReplicaId>, votes: &BTreeMap<ReplicaId, bool>) -> VoteResult {
    let majority = voters.len() / 2 + 1;
    let granted = voters.iter().filter(|id| votes.get(id) == Some(&true)).count();
    let refused = voters.iter().filter(|id| votes.get(id) == Some(&false)).count();
    if granted >= majority {
        VoteResult::Won
    } else if voters.len() - refused < majority {
        VoteResult::Lost
    } else {
        VoteResult::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[u64]) -> BTreeSet<ReplicaId> {
        ids.iter().copied().map(ReplicaId).collect()
    }

    fn votes(yes: &[u64], no: &[u64]) -> BTreeMap<ReplicaId, bool> {
        yes.iter()
            .map(|&id| (ReplicaId(id), true))
            .chain(no.iter().map(|&id| (ReplicaId(id), false)))
            .collect()
    }

    #[test]
    fn a_majority_of_five_is_three_and_of_four_also() {
        let five = Configuration::of_voters(ids(&[1, 2, 3, 4, 5]));
        assert_eq!(five.reached(|id| id.0 * 10), 30);
        let four = Configuration::of_voters(ids(&[1, 2, 3, 4]));
        assert_eq!(four.reached(|id| id.0 * 10), 20);
        assert_eq!(four.tally(&votes(&[1, 2], &[])), VoteResult::Pending);
        assert_eq!(four.tally(&votes(&[1, 2], &[3, 4])), VoteResult::Lost);
        assert_eq!(four.tally(&votes(&[1, 2, 3], &[4])), VoteResult::Won);
    }

    #[test]
    fn a_large_group_is_counted_like_a_small_one() {
        for size in [FEW as u64, FEW as u64 + 1, 25] {
            let group = Configuration::of_voters((1..=size).map(ReplicaId));
            let majority = size / 2 + 1;
            assert_eq!(group.reached(|id| u64::from(id.0 <= majority)), 1, "{majority} of {size}");
            assert_eq!(group.reached(|id| u64::from(id.0 < majority)), 0, "one fewer of {size}");
        }
    }

    #[test]
    fn learners_and_strangers_never_count() {
        let mut configuration = Configuration::of_voters(ids(&[1, 2, 3]));
        configuration.learners = ids(&[4, 5]);
        assert_eq!(configuration.reached(|id| if id.0 > 2 { 9 } else { 1 }), 1);
        assert_eq!(configuration.tally(&votes(&[1, 4, 5, 6], &[])), VoteResult::Pending);
    }

    #[test]
    fn joint_consensus_needs_both_majorities_counted_apart() {
        let joint = Configuration {
            voters: ids(&[1, 2, 3]),
            outgoing: ids(&[3, 4, 5]),
            learners: BTreeSet::new(),
        };
        // Four of the five replicas have reached 7, yet only one of the three outgoing voters.
        assert_eq!(joint.reached(|id| if id.0 <= 3 { 7 } else { 2 }), 2);
        assert_eq!(joint.tally(&votes(&[1, 2, 3], &[])), VoteResult::Pending);
        assert_eq!(joint.tally(&votes(&[1, 2, 3], &[4, 5])), VoteResult::Lost);
        assert_eq!(joint.tally(&votes(&[2, 3, 4], &[1, 5])), VoteResult::Won);
    }

    #[test]
    fn without_voters_nothing_is_ever_decided() {
        let nobody = Configuration::default();
        assert_eq!(nobody.reached(|_| 9), 0);
        assert_eq!(nobody.tally(&votes(&[1], &[])), VoteResult::Lost);
    }
}
