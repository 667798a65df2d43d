//! "Nobody is quiesced without a leader": a leader is quiesced only if every voter has agreed to
//! its last proposal; and when all replicas of a partition are quiesced, one of them leads, and all
//! are at its term and index.

use super::Violation;
use doug_proto::v1::{self, raft_message::Message};
use doug_raft::{Raft, ReplicaId, Role, Term};
use std::collections::BTreeMap;

const NAME: &str = "nobody is quiesced without a leader";

/// A heartbeat round of a term, by partition and replica.
type Rounds = BTreeMap<(u64, ReplicaId), (Term, u64)>;

/// What replicas told others of quiescence.
#[derive(Debug, Default)]
pub(super) struct Quiescence {
    /// The last round in which each proposed to quiesce.
    proposed: Rounds,
    /// The last such proposal to which each agreed.
    agreed: Rounds,
}

impl Quiescence {
    /// A node sends these.
    pub(super) fn sent(&mut self, messages: &[v1::RaftMessage]) {
        for message in messages {
            let (rounds, round) = match &message.message {
                Some(Message::Quiesce(proposal)) => (&mut self.proposed, proposal.round),
                Some(Message::QuiesceAnswer(answer)) if answer.agreed => {
                    (&mut self.agreed, answer.round)
                }
                _ => continue,
            };
            let replica = (message.partition, ReplicaId(message.from_replica));
            rounds.insert(replica, (message.term, round));
        }
    }

    /// Looks at the voters of a partition that run, at one moment.
    pub(super) fn check(&self, partition: u64, voters: &[&Raft]) -> Result<(), Violation> {
        let leaders =
            voters.iter().filter(|raft| raft.is_quiesced() && raft.role() == Role::Leader);
        for leader in leaders {
            let proposal = self.proposed.get(&(partition, leader.id()));
            // It may have agreed to a later leader's since, of which this one has yet to hear.
            let agrees = |voter: &ReplicaId| self.agreed.get(&(partition, *voter)) >= proposal;
            let mut others = leader.configuration().voters.iter().filter(|id| **id != leader.id());
            if let Some(voter) = others.find(|voter| !agrees(voter)) {
                let what = format!(
                    "partition {partition}: leader {} is quiesced, and {voter} has not agreed to \
                     it",
                    leader.id()
                );
                return Err(Violation::new(NAME, what));
            }
        }
        all_quiesced(partition, voters)
    }
}

/// A replica on `node` is a quiesced follower, and its leader's node has another liveness epoch.
pub(crate) fn quiesced_without_leader(node: &str, partition: u64) -> Violation {
    let what = format!(
        "partition {partition}: the replica on {node} quiesced under a liveness epoch that its \
         leader's node no longer has"
    );
    Violation::new(NAME, what)
}

fn all_quiesced(partition: u64, replicas: &[&Raft]) -> Result<(), Violation> {
    let Some(first) = replicas.first() else { return Ok(()) };
    let whole = replicas.len() == first.configuration().all_voters().len();
    if !whole || !replicas.iter().all(|raft| raft.is_quiesced()) {
        return Ok(());
    }
    let place = |raft: &Raft| (raft.term(), raft.commit(), raft.last_index());
    let leader = replicas.iter().find(|raft| raft.role() == Role::Leader);
    let sound = leader.is_some_and(|leader| {
        replicas
            .iter()
            .all(|raft| place(raft) == place(leader) && raft.leader() == Some(leader.id()))
    });
    if sound {
        Ok(())
    } else {
        let states: Vec<_> =
            replicas.iter().map(|raft| (raft.id(), raft.role(), place(raft))).collect();
        let what = format!("partition {partition}: all are quiesced, as {states:?}");
        Err(Violation::new(NAME, what))
    }
}
