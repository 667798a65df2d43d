//! A partition whose quorum is lost for good begins anew from the replica here.

use super::Host;
use super::effects::{Effects, Reply};
use super::faults::{not_here, removed};
use super::members::membership;
use super::replica::Replica;
use crate::membership::{RecoveryOrder, begin_anew};
use crate::work::RequestId;
use doug_proto::error::Fault;
use doug_proto::map::Partition;
use doug_raft::{Proposed, Time};
use std::time::Duration;
use tonic::Code;

/// A replica must have heard no leader for so long: an election that is under way is no loss.
const LEADERLESS: Duration = Duration::from_secs(5);

/// A recovery that Admin waits for, until the new group has committed its descriptor.
#[derive(Debug)]
pub(super) struct AwaitedRecovery {
    request: RequestId,
    deadline: Time,
    at: Proposed,
    descriptor: Box<Partition>,
}

impl Host {
    pub(super) fn recover(
        &mut self,
        now: Time,
        request: RequestId,
        order: &RecoveryOrder,
        deadline: Time,
    ) {
        let begun = match self.replicas.get_mut(&order.partition) {
            None => Err(not_here(self.config.node, order.partition)),
            Some(replica) => replica.begin_anew(now, request, order, deadline),
        };
        match begun {
            Ok(()) => self.dirty.insert(order.partition),
            Err(fault) => self.effects.replies.push((request, Err(fault))),
        }
    }
}

impl Replica {
    fn begin_anew(
        &mut self,
        now: Time,
        request: RequestId,
        order: &RecoveryOrder,
        deadline: Time,
    ) -> Result<(), Fault> {
        let partition = order.partition;
        if self.recovery.is_some() || self.snapshot.is_some() {
            return Err(Fault::unavailable(format!(
                "partition {partition} is just beginning anew here, or receives a snapshot: look \
                 again in a moment"
            )));
        }
        let leaderless = now.since(self.since);
        if self.raft.leader().is_some() || leaderless < LEADERLESS {
            return Err(refused(format!(
                "replica {} hears a leader of partition {partition}, or did {} ms ago: a \
                 partition that is led has not lost its quorum. Look again in some seconds",
                self.key,
                leaderless.as_millis()
            )));
        }
        let committed = order.committed.max(self.raft.commit()).min(order.end.1);
        let order = RecoveryOrder { committed, ..order.clone() };
        let descriptor = begin_anew(&self.descriptor, self.key.replica, &order)?;
        let at = self.raft.recover(now, order.end, membership(&descriptor));
        let at = at.map_err(|error| refused(error.to_string()))?;
        let descriptor = Box::new(descriptor);
        self.recovery = Some(AwaitedRecovery { request, deadline, at, descriptor });
        Ok(())
    }

    /// Answers whoever waits for the group to begin anew, once it has, or cannot any more.
    pub(super) fn answer_recovery(&mut self, now: Time, effects: &mut Effects) {
        let Some(awaited) = self.recovery.take() else { return };
        let (raft, at) = (&self.raft, awaited.at);
        let answer = if raft.commit() >= at.base && raft.term_at(at.base) == Some(at.term) {
            Ok(Reply::Recovered(awaited.descriptor))
        } else if raft.term() != at.term || awaited.deadline <= now {
            Err(interrupted(self.key.partition))
        } else {
            self.recovery = Some(awaited);
            return;
        };
        effects.replies.push((awaited.request, answer));
    }
}

impl AwaitedRecovery {
    /// What is answered if the replica leaves before.
    pub(super) fn dismissed(self, partition: u64) -> (RequestId, Result<Reply, Fault>) {
        (self.request, Err(removed(partition)))
    }
}

fn refused(message: String) -> Fault {
    Fault::new(Code::FailedPrecondition, message).not_executed()
}

fn interrupted(partition: u64) -> Fault {
    Fault::deadline_unknown(format!(
        "partition {partition} has not begun anew in time; it may still, so look at it before \
         trying again"
    ))
}
