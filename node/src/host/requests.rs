//! What clients ask of a host.

use super::Host;
use super::backlog::is_full;
use super::clocks::WallClocks;
use super::event::ReadKind;
use super::faults::{backlog_full, majority_awaited, not_here, not_leader};
use super::queue::QueuedWrite;
use super::replica::{Replica, refusal};
use super::turn::ready_read;
use crate::work::{RequestId, encode_command};
use doug_proto::error::Fault;
use doug_proto::v1::{self, command};
use doug_raft::{Index, Stamp, Time};

/// A token so many milliseconds ahead of the partition's clock is refused: stamps would follow
/// it, and stay there.
const MOST_AHEAD: u64 = 10_000;

impl Host {
    pub(super) fn write(&mut self, now: Time, partition: u64, write: QueuedWrite) {
        let request = write.request;
        let Some(replica) = self.replicas.get_mut(&partition) else {
            self.effects.replies.push((request, Err(not_here(self.config.node, partition))));
            return;
        };
        if !replica.leads() {
            let fault = not_leader(replica);
            self.effects.replies.push((request, Err(fault)));
            return;
        }
        if is_full(&self.config, &self.persisting, (self.applying, &replica.applying)) {
            self.effects.replies.push((request, Err(backlog_full(partition))));
            return;
        }
        if self.uncommitted.room_to_propose() == 0 {
            self.effects.replies.push((request, Err(majority_awaited(partition))));
            return;
        }
        if write.seen > Stamp(0) {
            self.clocks.show_to(now, replica);
            let clock = replica.raft.clock(now).0;
            let ahead = write.seen.milliseconds().saturating_sub(clock);
            if ahead > MOST_AHEAD {
                let fault = Fault::clock_ahead(partition, ahead);
                self.effects.replies.push((request, Err(fault)));
                return;
            }
        }
        replica.queue.push(write);
        self.dirty.insert(partition);
    }

    pub(super) fn read(
        &mut self,
        now: Time,
        request: RequestId,
        partition: u64,
        kind: ReadKind,
        deadline: Time,
    ) {
        let Some(replica) = self.replicas.get_mut(&partition) else {
            self.effects.replies.push((request, Err(not_here(self.config.node, partition))));
            return;
        };
        if let ReadKind::Applied { index } = kind
            && let Some(lost) = replica.descriptor.lost_revision(index)
        {
            self.effects.replies.push((request, Err(lost)));
            return;
        }
        match kind {
            ReadKind::Linearizable | ReadKind::Closed { .. } if !replica.leads() => {
                let fault = not_leader(replica);
                self.effects.replies.push((request, Err(fault)));
                return;
            }
            ReadKind::Bounded { max_lag }
                if replica.reads.staleness(now).is_some_and(|stale| stale <= max_lag) =>
            {
                let ready = ready_read(replica, request, now);
                self.effects.ready.push(ready);
                return;
            }
            ReadKind::Applied { index } if replica.applied >= index => {
                let ready = ready_read(replica, request, now);
                self.effects.ready.push(ready);
                return;
            }
            ReadKind::Closed { stamp } => match close(&self.clocks, now, replica, stamp) {
                Ok(index) => replica.reads.wait_applied(request, now, index, deadline),
                Err(fault) => {
                    self.effects.replies.push((request, Err(fault)));
                    return;
                }
            },
            ReadKind::Applied { index } => {
                replica.reads.wait_applied(request, now, index, deadline)
            }
            ReadKind::Linearizable | ReadKind::Bounded { .. } => {
                replica.reads.gather(request, now, deadline);
            }
        }
        self.dirty.insert(partition);
    }
}

/// Has the log end beyond `stamp`, by a batch that changes nothing if need be; returns the index
/// up to which it then stands. Whatever is applied up to there holds all of that time: a later
/// batch has a later stamp.
///
/// # Errors
/// A time of the future, which stamps would follow, and stay there; or nothing is proposed now.
fn close(
    clocks: &WallClocks,
    now: Time,
    replica: &mut Replica,
    stamp: Stamp,
) -> Result<Index, Fault> {
    if replica.raft.last_time().stamp >= stamp {
        return Ok(replica.raft.last_index());
    }
    clocks.show_to(now, replica);
    let clock = replica.raft.clock(now).0;
    let ahead = stamp.milliseconds().saturating_sub(clock);
    if ahead > MOST_AHEAD {
        return Err(Fault::invalid(format!(
            "the time asked for is {ahead} ms in the future of partition {}: nobody knows yet what \
             it will hold",
            replica.key.partition
        ))
        .with(Fault::ahead(ahead)));
    }
    let close = v1::Command { command: Some(command::Command::Close(v1::CloseCommand {})) };
    let proposed = replica.raft.propose_after(now, stamp, &[encode_command(&close)]);
    proposed.map(|at| at.base).map_err(|error| refusal(error, || not_leader(replica)))
}
