//! "Majorities decide": whoever leads was voted for, and whatever a leader commits is held durably,
//! by a majority of each half of its configuration (paper, §5.2; thesis, §4.3). And "a leader
//! commits by entries of its own term" (paper, §5.4.2, figure 8). Counted from the answers that
//! replicas sent, whether or not they arrived.

use super::Violation;
use doug_proto::v1::{self, raft_message::Message};
use doug_raft::{Configuration, Index, Raft, ReplicaId, Term, VoteResult};
use std::collections::{BTreeMap, BTreeSet};

const MAJORITY: &str = "majorities decide";
const OWN_TERM: &str = "a leader commits by entries of its own term";

/// What replicas told others, by partition.
#[derive(Debug, Default)]
pub(super) struct Quorums {
    partitions: BTreeMap<u64, Answers>,
}

#[derive(Debug, Default)]
struct Answers {
    /// Who voted, by term and for whom. Of all terms: a candidate that stands still with the
    /// answers in its mail wins when the others have voted in later ones.
    votes: BTreeMap<(Term, ReplicaId), BTreeSet<ReplicaId>>,
    /// Up to where each holds the log of a term's leader, durably.
    holds: BTreeMap<ReplicaId, (Term, Index)>,
    /// Who leads, and what it knew committed when it was last looked at.
    leader: Option<(Term, ReplicaId, Index)>,
}

impl Quorums {
    /// A node sends this.
    pub(super) fn sent(&mut self, turn: &v1::PeerTurn) {
        for answer in turn.heartbeat_answers.iter().filter(|answer| answer.matched > 0) {
            let place = (answer.term, answer.matched);
            self.of(answer.partition).hold(ReplicaId(answer.from_replica), place);
        }
        for message in &turn.messages {
            let (from, to) = (ReplicaId(message.from_replica), ReplicaId(message.to_replica));
            match &message.message {
                Some(Message::AppendAnswer(answer)) if answer.accepted => {
                    self.of(message.partition).hold(from, (message.term, answer.matched));
                }
                Some(Message::VoteAnswer(answer)) if answer.granted && !answer.pre_vote => {
                    let votes = &mut self.of(message.partition).votes;
                    votes.entry((message.term, to)).or_default().insert(from);
                }
                _ => {}
            }
        }
    }

    /// A replica has just begun to lead.
    pub(super) fn leads(&mut self, raft: &Raft) -> Result<(), Violation> {
        let (term, own) = (raft.term(), raft.id());
        let answers = self.of(raft.partition().0);
        answers.leader = Some((term, own, raft.commit()));
        let voted = answers.votes.get(&(term, own)).into_iter().flatten();
        let votes = voted.map(|voter| (*voter, true)).chain([(own, true)]).collect();
        if raft.configuration().tally(&votes, &BTreeSet::new()) == VoteResult::Won {
            return Ok(());
        }
        let voters: Vec<_> = votes.into_keys().collect();
        let what = format!(
            "partition {}: replica {own} leads term {term} by the votes of {voters:?}, in {:?}",
            raft.partition(),
            raft.configuration()
        );
        Err(Violation::new(MAJORITY, what))
    }

    /// A leader may have committed something.
    pub(super) fn commits(&mut self, raft: &Raft) -> Result<(), Violation> {
        let (term, own, commit) = (raft.term(), raft.id(), raft.commit());
        let answers = self.of(raft.partition().0);
        // What it took over as a follower was for others to count.
        let Some(known) = &mut answers.leader else { return Ok(()) };
        if (known.0, known.1) != (term, own) || commit <= known.2 {
            return Ok(());
        }
        known.2 = commit;
        if raft.term_at(commit).is_some_and(|at| at != term) {
            let what = format!(
                "partition {}: replica {own}, which leads term {term}, commits up to {commit}, an \
                 entry of term {:?}",
                raft.partition(),
                raft.term_at(commit)
            );
            return Err(Violation::new(OWN_TERM, what));
        }
        let held = |configuration: &Configuration| {
            configuration.reached(|voter| match answers.holds.get(&voter) {
                _ if voter == own => commit,
                Some((at, index)) if *at == term => *index,
                _ => 0,
            }) >= commit
        };
        // It may have gone on to the next configuration after it had counted.
        let before = raft.membership_before().map(|before| &before.configuration);
        if held(raft.configuration()) || before.is_some_and(held) {
            return Ok(());
        }
        let what = format!(
            "partition {}: replica {own}, which leads term {term}, commits up to {commit}, but in \
             {:?} only these have said that they hold a log of a term up to an index: {:?}",
            raft.partition(),
            raft.configuration(),
            answers.holds
        );
        Err(Violation::new(MAJORITY, what))
    }

    fn of(&mut self, partition: u64) -> &mut Answers {
        self.partitions.entry(partition).or_default()
    }
}

impl Answers {
    fn hold(&mut self, replica: ReplicaId, place: (Term, Index)) {
        let known = self.holds.entry(replica).or_default();
        *known = (*known).max(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doug_raft::{Config, Membership, PartitionId, Restored};

    fn replica(id: u64, term: Term) -> Raft {
        let voters = (1..=3).map(ReplicaId).collect();
        let configuration = Configuration { voters, ..Configuration::default() };
        let membership = Membership { configuration, ..Membership::default() };
        let restored = Restored { term, ..Restored::empty(membership) };
        Raft::new(Config::new(PartitionId(1), ReplicaId(id), 7), restored, doug_raft::Time(0))
    }

    fn vote(from: u64, to: u64, term: Term) -> v1::PeerTurn {
        let answer = v1::VoteAnswer { granted: true, pre_vote: false, asked: 0, ambiguous: false };
        let message = v1::RaftMessage {
            partition: 1,
            from_replica: from,
            to_replica: to,
            term,
            message: Some(Message::VoteAnswer(answer)),
        };
        v1::PeerTurn { messages: vec![message], ..Default::default() }
    }

    #[test]
    fn a_candidate_that_stood_still_wins_by_votes_whose_givers_have_voted_again_since() {
        let mut quorums = Quorums::default();
        quorums.sent(&vote(2, 1, 5));
        quorums.sent(&vote(2, 3, 6));
        assert!(quorums.leads(&replica(1, 5)).is_ok());
    }

    #[test]
    fn a_vote_of_another_term_or_for_somebody_else_makes_no_leader() {
        let mut quorums = Quorums::default();
        quorums.sent(&vote(2, 1, 5));
        quorums.sent(&vote(2, 3, 6));
        assert_eq!(quorums.leads(&replica(1, 6)).unwrap_err().checker, MAJORITY);
        assert_eq!(quorums.leads(&replica(3, 5)).unwrap_err().checker, MAJORITY);
    }
}
