//! What clients ask of a host.

use super::Host;
use super::backlog::is_full;
use super::event::ReadKind;
use super::faults::{backlog_full, majority_awaited, not_here, not_leader};
use super::queue::QueuedWrite;
use super::turn::ready_read;
use crate::work::RequestId;
use doug_proto::error::Fault;
use doug_raft::{Stamp, Time};

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
            ReadKind::Linearizable if !replica.leads() => {
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
