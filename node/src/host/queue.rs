//! Writes that wait to be proposed.

use crate::work::RequestId;
use bytes::Bytes;
use doug_raft::{Stamp, Time};
use std::collections::VecDeque;

/// A write that waits to be proposed.
#[derive(Debug)]
pub(super) struct QueuedWrite {
    pub request: RequestId,
    pub command: Bytes,
    /// The greatest stamp its client has seen.
    pub seen: Stamp,
    pub deadline: Time,
}

/// The writes of one replica, in order. Bounded by the node's budget for requests.
#[derive(Debug, Default)]
pub(super) struct WriteQueue {
    writes: VecDeque<QueuedWrite>,
    bytes: usize,
}

/// The commands of one batch, with who waits for each, and until when.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub commands: Vec<Bytes>,
    pub requests: Vec<(RequestId, Time)>,
    /// The greatest stamp that one of their clients has seen.
    pub seen: Stamp,
}

impl WriteQueue {
    pub(super) fn push(&mut self, write: QueuedWrite) {
        self.bytes += write.command.len();
        self.writes.push_back(write);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The first write, and those after it that fit into `batch_bytes` with it.
    pub(super) fn take(&mut self, batch_bytes: usize) -> Taken {
        let mut taken = Taken::default();
        let mut bytes = 0;
        while let Some(write) = self.writes.front() {
            if !taken.commands.is_empty() && bytes + write.command.len() > batch_bytes {
                break;
            }
            let Some(write) = self.writes.pop_front() else { break };
            bytes += write.command.len();
            taken.commands.push(write.command);
            taken.seen = taken.seen.max(write.seen);
            taken.requests.push((write.request, write.deadline));
        }
        self.bytes -= bytes;
        taken
    }

    /// Removes the writes whose deadline has passed: they were never proposed.
    pub(super) fn expire(&mut self, now: Time) -> Vec<RequestId> {
        let mut expired = Vec::new();
        self.writes.retain(|write| {
            let late = write.deadline <= now;
            if late {
                expired.push(write.request);
                self.bytes -= write.command.len();
            }
            !late
        });
        expired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue_of(sizes: &[usize]) -> WriteQueue {
        let mut queue = WriteQueue::default();
        for (number, size) in sizes.iter().enumerate() {
            queue.push(QueuedWrite {
                request: RequestId(number as u64),
                command: vec![0; *size].into(),
                seen: Stamp(number as u64),
                deadline: Time(100 + number as u64),
            });
        }
        queue
    }

    #[test]
    fn a_batch_holds_what_fits_and_at_least_one_write() {
        let mut queue = queue_of(&[50, 10, 10, 10]);
        assert_eq!(queue.take(25).commands.len(), 1);
        assert_eq!(queue.take(25).commands.len(), 2);
        assert_eq!(queue.take(25).commands.len(), 1);
        assert!(queue.is_empty());
        assert_eq!(queue.bytes(), 0);
    }

    #[test]
    fn a_write_past_its_deadline_leaves_the_queue() {
        let mut queue = queue_of(&[1, 2, 4]);
        assert_eq!(queue.expire(Time(101)), [RequestId(0), RequestId(1)]);
        assert_eq!(queue.bytes(), 4);
    }
}
