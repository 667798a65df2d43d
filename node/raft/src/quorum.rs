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
    /// The greatest value that a quorum has reached. In joint consensus the two majorities are
    /// counted apart and the lesser result counts: one merged tally would let either configuration
    /// decide alone.
    #[must_use]
    pub fn reached(&self, value: impl Fn(ReplicaId) -> u64) -> u64 {
        let incoming = majority_reached(&self.voters, &value);
        if self.outgoing.is_empty() {
            incoming
        } else {
            incoming.min(majority_reached(&self.outgoing, &value))
        }
    }

    /// The result of an election, given the answers so far. `ambiguous` are those of whom nobody
    /// knows whether they still hold all they acknowledged: if one of them is needed for a
    /// majority, one vote more than a majority is needed, or everybody's. Then the others alone
    /// share a voter with every other majority.
    #[must_use]
    pub fn tally(
        &self,
        votes: &BTreeMap<ReplicaId, bool>,
        ambiguous: &BTreeSet<ReplicaId>,
    ) -> VoteResult {
        let incoming = majority_tally(&self.voters, votes, ambiguous);
        if self.outgoing.is_empty() {
            return incoming;
        }
        match (incoming, majority_tally(&self.outgoing, votes, ambiguous)) {
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

fn majority_tally(
    voters: &BTreeSet<ReplicaId>,
    votes: &BTreeMap<ReplicaId, bool>,
    ambiguous: &BTreeSet<ReplicaId>,
) -> VoteResult {
    let majority = voters.len() / 2 + 1;
    let outvotes_doubt = (majority + 1).min(voters.len()).max(majority);
    let said = |answer| voters.iter().filter(move |id| votes.get(id) == Some(&answer));
    let granted = said(true).count();
    let doubtful = said(true).filter(|id| ambiguous.contains(id)).count();
    let may_grant = voters.len() - said(false).count();
    let enough = |all: usize| all - doubtful >= majority || all >= outvotes_doubt;
    if enough(granted) {
        VoteResult::Won
    } else if enough(may_grant) {
        VoteResult::Pending
    } else {
        VoteResult::Lost
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

    impl Configuration {
        fn sound_tally(&self, votes: &BTreeMap<ReplicaId, bool>) -> VoteResult {
            self.tally(votes, &BTreeSet::new())
        }
    }

    #[test]
    fn an_ambiguous_vote_counts_beside_one_more_than_a_majority() {
        let five = Configuration::of_voters(ids(&[1, 2, 3, 4, 5]));
        let tally = |yes: &[u64], no: &[u64], ambiguous: &[u64]| {
            five.tally(&votes(yes, no), &ids(ambiguous))
        };
        assert_eq!(tally(&[1, 2, 3], &[], &[3]), VoteResult::Pending);
        assert_eq!(tally(&[1, 2, 3, 4], &[], &[3]), VoteResult::Won);
        assert_eq!(tally(&[1, 2, 3], &[], &[]), VoteResult::Won, "not needed");
        assert_eq!(tally(&[1, 2, 3, 4], &[], &[1, 2, 3, 4]), VoteResult::Won);
        assert_eq!(tally(&[1, 2], &[4], &[2]), VoteResult::Pending);
        assert_eq!(tally(&[1, 2], &[4, 5], &[2]), VoteResult::Lost);
    }

    #[test]
    fn where_everybody_says_yes_no_doubt_is_left_to_wait_for() {
        for size in 1..=4 {
            let group: Vec<u64> = (1..=size).collect();
            let configuration = Configuration::of_voters(group.iter().copied().map(ReplicaId));
            let result = configuration.tally(&votes(&group, &[]), &ids(&group));
            assert_eq!(result, VoteResult::Won, "all {size} answered");
        }
    }

    #[test]
    fn a_doubt_counts_only_in_the_half_of_a_joint_configuration_that_it_votes_in() {
        let joint = Configuration {
            voters: ids(&[1, 2, 3]),
            outgoing: ids(&[3, 4, 5]),
            learners: BTreeSet::new(),
        };
        let tally = |yes: &[u64]| joint.tally(&votes(yes, &[]), &ids(&[1]));
        assert_eq!(tally(&[2, 3, 4]), VoteResult::Won);
        assert_eq!(tally(&[1, 2, 4, 5]), VoteResult::Pending);
        assert_eq!(tally(&[1, 2, 3, 4]), VoteResult::Won);
    }

    #[test]
    fn a_majority_of_five_is_three_and_of_four_also() {
        let five = Configuration::of_voters(ids(&[1, 2, 3, 4, 5]));
        assert_eq!(five.reached(|id| id.0 * 10), 30);
        let four = Configuration::of_voters(ids(&[1, 2, 3, 4]));
        assert_eq!(four.reached(|id| id.0 * 10), 20);
        assert_eq!(four.sound_tally(&votes(&[1, 2], &[])), VoteResult::Pending);
        assert_eq!(four.sound_tally(&votes(&[1, 2], &[3, 4])), VoteResult::Lost);
        assert_eq!(four.sound_tally(&votes(&[1, 2, 3], &[4])), VoteResult::Won);
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
    fn learners_and_unknown_replicas_never_count() {
        let mut configuration = Configuration::of_voters(ids(&[1, 2, 3]));
        configuration.learners = ids(&[4, 5]);
        assert_eq!(configuration.reached(|id| if id.0 > 2 { 9 } else { 1 }), 1);
        assert_eq!(configuration.sound_tally(&votes(&[1, 4, 5, 6], &[])), VoteResult::Pending);
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
        assert_eq!(joint.sound_tally(&votes(&[1, 2, 3], &[])), VoteResult::Pending);
        assert_eq!(joint.sound_tally(&votes(&[1, 2, 3], &[4, 5])), VoteResult::Lost);
        assert_eq!(joint.sound_tally(&votes(&[2, 3, 4], &[1, 5])), VoteResult::Won);
    }

    #[test]
    fn without_voters_nothing_is_ever_decided() {
        let nobody = Configuration::default();
        assert_eq!(nobody.reached(|_| 9), 0);
        assert_eq!(nobody.sound_tally(&votes(&[1], &[])), VoteResult::Lost);
    }
}
