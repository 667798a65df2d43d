//! "Votes are remembered": a replica votes once a term, and no restart takes it back (paper, §5.2).

use super::Violation;
use doug_node::host::RestoredReplica;
use doug_proto::ids::NodeId;
use doug_proto::v1::{self, raft_message::Message};
use doug_raft::{ReplicaId, Term};
use doug_storage::ReplicaKey;
use std::collections::BTreeMap;

/// The last vote that each replica told anybody of.
#[derive(Debug, Default)]
pub(super) struct Votes {
    given: BTreeMap<(NodeId, ReplicaKey), (Term, ReplicaId)>,
}

const NAME: &str = "votes are remembered";

impl Votes {
    /// A node sends this: votes, or candidacies, which are votes of the candidate for itself.
    pub(super) fn sent(
        &mut self,
        node: NodeId,
        message: &v1::RaftMessage,
    ) -> Result<(), Violation> {
        let (from, to) = (message.from_replica, message.to_replica);
        let vote = match &message.message {
            Some(Message::VoteAnswer(answer)) if answer.granted && !answer.pre_vote => to,
            Some(Message::VoteRequest(request)) if !request.pre_vote => from,
            _ => return Ok(()),
        };
        let replica = ReplicaKey { partition: message.partition, replica: from };
        let (term, vote) = (message.term, ReplicaId(vote));
        let known = self.given.entry((node, replica)).or_insert((term, vote));
        if known.0 == term && known.1 != vote {
            let what =
                format!("replica {replica} votes for {} and for {vote} in term {term}", known.1);
            return Err(Violation::new(NAME, what));
        }
        *known = (*known).max((term, vote));
        Ok(())
    }

    /// A node restarts with what its disk holds of a replica.
    pub(super) fn restored(&self, node: NodeId, found: &RestoredReplica) -> Result<(), Violation> {
        let replica = found.replica;
        let Some(&(term, vote)) = self.given.get(&(node, replica)) else { return Ok(()) };
        if found.term > term || (found.term == term && found.vote == Some(vote)) {
            return Ok(());
        }
        let what = format!(
            "replica {replica} voted for {vote} in term {term}, and restarts in term {} with a \
             vote for {:?}",
            found.term, found.vote
        );
        Err(Violation::new(NAME, what))
    }

    /// A node is to come back as if it had never been there.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.given.retain(|(at, _), _| *at != node);
    }
}
