//! "Nobody sleeps without a leader": a leader sleeps only if every voter has agreed to its last wish; and when all of a
//! partition sleep, one of them leads, and all are where it is.

use super::Violation;
use doug_proto::v1::{self, raft_message::Message};
use doug_raft::{Raft, ReplicaId, Role, Term};
use std::collections::BTreeMap;

const NAME: &str = "nobody sleeps without a leader";

/// A heartbeat round of a term, by partition and replica.
type Rounds = BTreeMap<(u64, ReplicaId), (Term, u64)>;

/// What replicas told others of sleep.
#[derive(Debug, Default)]
pub(super) struct Sleepers {
    /// The last round in which each wished that all sleep.
    wished: Rounds,
    /// The last such wish to which each agreed.
    agreed: Rounds,
}

impl Sleepers {
    /// A node sends these.
    pub(super) fn sent(&mut self, messages: &[v1::RaftMessage]) {
        for message in messages {
            let (rounds, round) = match &message.message {
                Some(Message::Sleep(wish)) => (&mut self.wished, wish.round),
                Some(Message::SleepAnswer(answer)) if answer.agreed => {
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
        let leaders = voters.iter().filter(|raft| raft.is_asleep() && raft.role() == Role::Leader);
        for leader in leaders {
            let wish = self.wished.get(&(partition, leader.id()));
            // It may have agreed to a later leader's since, of which this one has yet to hear.
            let agrees = |voter: &ReplicaId| self.agreed.get(&(partition, *voter)) >= wish;
            let mut others = leader.configuration().voters.iter().filter(|id| **id != leader.id());
            if let Some(voter) = others.find(|voter| !agrees(voter)) {
                let what = format!(
                    "partition {partition}: leader {} sleeps, and {voter} has not agreed to it",
                    leader.id()
                );
                return Err(Violation::new(NAME, what));
            }
        }
        all_asleep(partition, voters)
    }
}

/// A replica on `node` follows asleep, and the process that vouched for its leader does so no more.
pub(crate) fn sleeps_unvouched(node: &str, partition: u64) -> Violation {
    let what = format!(
        "partition {partition}: the replica on {node} sleeps under a process that speaks for its leader no more"
    );
    Violation::new(NAME, what)
}

fn all_asleep(partition: u64, replicas: &[&Raft]) -> Result<(), Violation> {
    let Some(first) = replicas.first() else { return Ok(()) };
    let whole = replicas.len() == first.configuration().all_voters().len();
    if !whole || !replicas.iter().all(|raft| raft.is_asleep()) {
        return Ok(());
    }
    let place = |raft: &Raft| (raft.term(), raft.commit(), raft.last_index());
    let leader = replicas.iter().find(|raft| raft.role() == Role::Leader);
    let sound = leader.is_some_and(|leader| {
        replicas
            .iter()
            .all(|raft| place(raft) == place(leader) && raft.leader() == Some(leader.id()))
    });
    match sound {
        true => Ok(()),
        false => {
            let states: Vec<_> =
                replicas.iter().map(|raft| (raft.id(), raft.role(), place(raft))).collect();
            let what = format!("partition {partition}: all sleep, as {states:?}");
            Err(Violation::new(NAME, what))
        }
    }
}
