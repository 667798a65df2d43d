//! What was handed to the log and to the applying thread and has not come back.
//!
//! **The host never waits for either.** The log may wait for room that only the host can
//! free, by events that wait for its next turn: a host that waited for a place in the
//! log's queue would wait for ever. So the host counts what is out, and while that is
//! over its bound it takes in nothing that would add to it: writes of clients are
//! refused, appends of leaders are dropped (they are sent again), and writes that wait
//! are not proposed yet. The queues behind the host therefore hold at most the bound and
//! one message, and need no bound of their own. Votes, heartbeats and acknowledgements
//! are small and always pass.

use super::config::HostConfig;
use crate::work::{RequestId, Sequence};
use doug_raft::{Index, Ticket, Time};
use std::collections::{BTreeMap, VecDeque};

/// Records of all replicas of a host that were given to the log and are not yet known
/// durable, in order.
#[derive(Debug, Default)]
pub(super) struct Persisting {
    records: VecDeque<Given>,
    last: u64,
    bytes: u64,
}

#[derive(Debug)]
struct Given {
    sequence: Sequence,
    partition: u64,
    ticket: Ticket,
    bytes: u64,
}

impl Persisting {
    /// Numbers a record that nobody waits for.
    pub(super) fn number(&mut self) -> Sequence {
        self.last += 1;
        Sequence(self.last)
    }

    /// A record of `bytes` is given to the log.
    pub(super) fn give(&mut self, partition: u64, ticket: Ticket, bytes: u64) -> Sequence {
        let sequence = self.number();
        self.bytes += bytes;
        self.records.push_back(Given { sequence, partition, ticket, bytes });
        sequence
    }

    /// Everything up to `upto` is durable, and so are those in `passed`: the last ticket of each
    /// partition in them. Records of one partition never pass each other, so that everything of
    /// the partition up to that ticket is durable.
    pub(super) fn durable(&mut self, upto: Sequence, passed: &[Sequence]) -> BTreeMap<u64, Ticket> {
        let prefix = self.records.partition_point(|given| given.sequence <= upto);
        let mut done: Vec<Given> = self.records.drain(..prefix).collect();
        for sequence in passed {
            // Absent if nobody waits for it any more.
            if let Ok(at) = self.records.binary_search_by_key(sequence, |given| given.sequence) {
                done.extend(self.records.remove(at));
            }
        }
        self.bytes -= done.iter().map(|given| given.bytes).sum::<u64>();
        done.into_iter().map(|given| (given.partition, given.ticket)).collect()
    }

    /// The partition's replica is gone: its successor must not take these for its own.
    pub(super) fn forget(&mut self, partition: u64) {
        self.records.retain(|given| {
            let stays = given.partition != partition;
            if !stays {
                self.bytes -= given.bytes;
            }
            stays
        });
    }

    /// Bytes of batches that are not durable yet.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Committed batches of one replica that were given out to be applied, and the writes
/// in them that wait for their outcomes.
#[derive(Debug, Default)]
pub(super) struct Applying {
    batches: VecDeque<Committed>,
    bytes: u64,
    /// No waiting write has an earlier deadline.
    next_deadline: Option<Time>,
}

#[derive(Debug)]
struct Committed {
    last: Index,
    bytes: u64,
    waiting: Vec<(RequestId, Time)>,
}

impl Applying {
    /// A batch of `bytes` that ends at `last` is given out.
    pub(super) fn give(&mut self, last: Index, bytes: u64, waiting: Vec<(RequestId, Time)>) {
        self.bytes += bytes;
        let earliest = waiting.iter().map(|(_, deadline)| *deadline).min();
        self.next_deadline = [self.next_deadline, earliest].into_iter().flatten().min();
        self.batches.push_back(Committed { last, bytes, waiting });
    }

    /// Everything up to `index` is applied, and its writes are answered.
    pub(super) fn applied(&mut self, index: Index) {
        while self.batches.front().is_some_and(|first| first.last <= index) {
            let Some(batch) = self.batches.pop_front() else { break };
            self.bytes -= batch.bytes;
        }
        if self.batches.is_empty() {
            self.next_deadline = None;
        }
    }

    /// Writes whose deadline has passed: they are committed, but their callers wait no
    /// longer. Each is told once.
    pub(super) fn expire(&mut self, now: Time) -> Vec<RequestId> {
        if self.next_deadline.is_none_or(|deadline| now < deadline) {
            return Vec::new();
        }
        let mut expired = Vec::new();
        let mut next: Option<Time> = None;
        for batch in &mut self.batches {
            batch.waiting.retain(|(request, deadline)| {
                let late = *deadline <= now;
                if late {
                    expired.push(*request);
                } else {
                    next = Some(next.map_or(*deadline, |next| next.min(*deadline)));
                }
                !late
            });
        }
        self.next_deadline = next;
        expired
    }

    /// Whether a write waits for its outcome.
    pub(super) fn has_waiting(&self) -> bool {
        self.next_deadline.is_some()
    }

    /// Bytes of batches that are not applied yet.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Whether so much waits for the log, or to be applied to all replicas or to this one, that
/// nothing more is taken in: see the module.
pub(super) fn is_full(
    config: &HostConfig,
    persisting: &Persisting,
    (applying, one): (u64, &Applying),
) -> bool {
    // One partition whose apply is held up leaves three quarters to the others.
    persisting.bytes() >= config.log_backlog_bytes
        || applying >= config.apply_backlog_bytes
        || one.bytes() >= config.apply_backlog_bytes / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_durable_no_longer_counts() {
        let mut persisting = Persisting::default();
        let first = persisting.give(1, Ticket(7), 100);
        let second = persisting.give(2, Ticket(8), 10);
        persisting.give(1, Ticket(9), 1);
        assert_eq!(persisting.bytes(), 111);
        assert_eq!(
            persisting.durable(first, &[]).into_iter().collect::<Vec<_>>(),
            [(1, Ticket(7))]
        );
        assert_eq!(persisting.bytes(), 11);
        persisting.forget(1);
        assert_eq!(persisting.bytes(), 10);
        assert_eq!(persisting.durable(second, &[]).len(), 1);
        assert_eq!(persisting.bytes(), 0);
    }

    #[test]
    fn what_passed_others_is_durable_before_them() {
        let mut persisting = Persisting::default();
        let waits = persisting.give(1, Ticket(1), 100);
        let passed = persisting.give(2, Ticket(2), 0);
        let durable = persisting.durable(Sequence(0), &[passed]);
        assert_eq!(durable, BTreeMap::from([(2, Ticket(2))]));
        assert_eq!(persisting.bytes(), 100);
        assert_eq!(persisting.durable(passed, &[]), BTreeMap::from([(1, Ticket(1))]));
        assert!(waits < passed && persisting.bytes() == 0);
    }

    #[test]
    fn a_committed_write_ends_at_its_deadline_once_though_it_is_not_applied() {
        let mut applying = Applying::default();
        applying.give(5, 100, vec![(RequestId(1), Time(50)), (RequestId(2), Time(90))]);
        assert!(applying.expire(Time(49)).is_empty());
        assert_eq!(applying.expire(Time(50)), [RequestId(1)]);
        assert!(applying.expire(Time(60)).is_empty());
        assert!(applying.has_waiting());
        applying.applied(5);
        assert!(!applying.has_waiting());
        assert!(applying.expire(Time(100)).is_empty());
        assert_eq!(applying.bytes(), 0);
    }
}
