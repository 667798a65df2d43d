//! Reads that wait for an index, or for an index to be applied.

use crate::work::RequestId;
use doug_proto::error::Fault;
use doug_raft::{Index, ReadId, Time};
use std::collections::BTreeMap;
use std::time::Duration;

/// Reads of one replica.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// Joined by the reads of this turn; one round of the core serves them all.
    gathering: Vec<WaitingRead>,
    /// Groups that wait for the core to name an index.
    asked: BTreeMap<ReadId, Group>,
    /// Groups and token reads that wait until an index is applied.
    applying: BTreeMap<Index, Vec<Group>>,
    next_id: u64,
    /// When the latest round (or lease) began whose index is applied: the data holds every write
    /// answered before that moment. A replica that only believes it leads knows no such moment.
    fresh: Option<Time>,
    /// No waiting read has an earlier deadline.
    next_deadline: Option<Time>,
}

/// Questions to the core that may be open at once.
const OPEN_QUESTIONS: usize = 1;

#[derive(Debug)]
struct Group {
    /// When the index was asked for: what is applied up to it is as fresh as that.
    since: Option<Time>,
    reads: Vec<WaitingRead>,
}

#[derive(Clone, Copy, Debug)]
struct WaitingRead {
    request: RequestId,
    /// When it came to this host.
    begun: Time,
    deadline: Time,
}

impl Reads {
    /// How long before `begun` a write may have been answered that this replica's data lacks, at
    /// most. It is counted from the read's beginning, not its answer: what is written while a read
    /// waits owes it nothing.
    pub(super) fn staleness(&self, begun: Time) -> Option<Duration> {
        self.fresh.map(|fresh| begun.since(fresh))
    }

    /// Whether no read waits.
    pub(super) fn is_empty(&self) -> bool {
        self.gathering.is_empty() && self.asked.is_empty() && self.applying.is_empty()
    }

    /// Adds a read that needs an index of the leader. The caller has served the
    /// bounded reads that need none.
    pub(super) fn gather(&mut self, request: RequestId, begun: Time, deadline: Time) {
        self.note_deadline(deadline);
        self.gathering.push(WaitingRead { request, begun, deadline });
    }

    /// Adds a read that waits for `index` to be applied.
    pub(super) fn wait_applied(
        &mut self,
        request: RequestId,
        begun: Time,
        index: Index,
        deadline: Time,
    ) {
        self.note_deadline(deadline);
        let read = WaitingRead { request, begun, deadline };
        let group = Group { since: None, reads: vec![read] };
        self.applying.entry(index).or_default().push(group);
    }

    fn note_deadline(&mut self, deadline: Time) {
        self.next_deadline = Some(self.next_deadline.map_or(deadline, |next| next.min(deadline)));
    }

    /// Ends the turn: the name under which the core is to be asked, if any read
    /// waits and no question is open. A round costs a message to and from every
    /// peer, so the reads that come while one runs share the next.
    pub(super) fn ask(&mut self, now: Time) -> Option<ReadId> {
        if self.gathering.is_empty() || self.asked.len() >= OPEN_QUESTIONS {
            return None;
        }
        self.next_id += 1;
        let reads = std::mem::take(&mut self.gathering);
        self.asked.insert(ReadId(self.next_id), Group { since: Some(now), reads });
        Some(ReadId(self.next_id))
    }

    /// The core named the index these groups must see.
    pub(super) fn index_known(&mut self, ids: &[ReadId], index: Index) {
        for id in ids {
            if let Some(group) = self.asked.remove(id) {
                self.applying.entry(index).or_default().push(group);
            }
        }
    }

    /// The core gave these groups up.
    pub(super) fn aborted(&mut self, ids: &[ReadId]) -> Vec<RequestId> {
        let groups = ids.iter().filter_map(|id| self.asked.remove(id));
        groups.flat_map(|group| group.reads).map(|read| read.request).collect()
    }

    /// Everything up to `index` is applied: the reads that can be served now, and when each began.
    pub(super) fn applied(&mut self, index: Index) -> Vec<(RequestId, Time)> {
        if self.applying.first_key_value().is_none_or(|(first, _)| *first > index) {
            return Vec::new();
        }
        let later = self.applying.split_off(&(index + 1));
        let groups = std::mem::replace(&mut self.applying, later).into_values().flatten();
        let mut ready = Vec::new();
        for group in groups {
            self.fresh = self.fresh.max(group.since);
            ready.extend(group.reads.into_iter().map(|read| (read.request, read.begun)));
        }
        ready
    }

    /// Removes the token reads whose index is refused, each with the reason.
    pub(super) fn refuse(
        &mut self,
        why: impl Fn(Index) -> Option<Fault>,
    ) -> Vec<(RequestId, Fault)> {
        let mut refused = Vec::new();
        for (index, groups) in &mut self.applying {
            let Some(fault) = why(*index) else { continue };
            // Rounds ask for an index of the leader, which is of the group that there is.
            for group in groups.extract_if(.., |group| group.since.is_none()) {
                let reads = group.reads.into_iter();
                refused.extend(reads.map(|read| (read.request, fault.clone())));
            }
        }
        self.applying.retain(|_, groups| !groups.is_empty());
        refused
    }

    /// Removes the reads whose deadline has passed.
    pub(super) fn expire(&mut self, now: Time) -> Vec<RequestId> {
        if self.next_deadline.is_none_or(|deadline| now < deadline) {
            return Vec::new();
        }
        let mut expired = Vec::new();
        let mut next: Option<Time> = None;
        let groups = self.asked.values_mut().chain(self.applying.values_mut().flatten());
        let lists = groups.map(|group| &mut group.reads).chain([&mut self.gathering]);
        for reads in lists {
            reads.retain(|read| {
                if read.deadline <= now {
                    expired.push(read.request);
                    return false;
                }
                next = Some(next.map_or(read.deadline, |n| n.min(read.deadline)));
                true
            });
        }
        self.next_deadline = next;
        expired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reads_of_a_turn_share_one_question() {
        let mut reads = Reads::default();
        reads.gather(RequestId(1), Time(5), Time(100));
        reads.gather(RequestId(2), Time(5), Time(100));
        let id = reads.ask(Time(5)).unwrap();
        assert_eq!(reads.ask(Time(5)), None);
        reads.index_known(&[id], 7);
        assert!(reads.applied(6).is_empty());
        assert_eq!(reads.applied(7).len(), 2);
        assert_eq!(reads.staleness(Time(5)), Some(Duration::ZERO));
    }

    #[test]
    fn reads_that_come_while_a_question_is_open_share_the_next() {
        let mut reads = Reads::default();
        reads.gather(RequestId(1), Time(5), Time(100));
        let first = reads.ask(Time(5)).unwrap();
        reads.gather(RequestId(2), Time(5), Time(100));
        reads.gather(RequestId(3), Time(5), Time(100));
        assert_eq!(reads.ask(Time(6)), None);
        reads.index_known(&[first], 7);
        let second = reads.ask(Time(7)).unwrap();
        assert_eq!(reads.aborted(&[second]), [RequestId(2), RequestId(3)]);
    }

    #[test]
    fn freshness_is_that_of_the_question_not_of_the_answer() {
        let mut reads = Reads::default();
        reads.gather(RequestId(1), Time(5), Time(100));
        let early = reads.ask(Time(5)).unwrap();
        reads.gather(RequestId(2), Time(5), Time(100));
        reads.index_known(&[early], 4);
        let late = reads.ask(Time(9)).unwrap();
        reads.index_known(&[late], 3);
        assert_eq!(reads.applied(3), [(RequestId(2), Time(5))]);
        assert_eq!(reads.staleness(Time(12)), Some(Duration::from_micros(3)));
        reads.applied(4);
        assert_eq!(reads.staleness(Time(12)), Some(Duration::from_micros(3)));
    }

    #[test]
    fn without_a_proven_round_nothing_is_known_of_staleness() {
        let mut reads = Reads::default();
        reads.gather(RequestId(1), Time(5), Time(100));
        let id = reads.ask(Time(5)).unwrap();
        reads.aborted(&[id]);
        reads.wait_applied(RequestId(2), Time(6), 3, Time(100));
        assert_eq!(reads.applied(9), [(RequestId(2), Time(6))]);
        assert_eq!(reads.staleness(Time(6)), None);
    }

    #[test]
    fn staleness_does_not_grow_while_a_read_waits() {
        let mut reads = Reads::default();
        reads.gather(RequestId(1), Time(5), Time(100));
        let id = reads.ask(Time(5)).unwrap();
        reads.index_known(&[id], 3);
        let ready = reads.applied(3);
        assert_eq!(reads.staleness(ready[0].1), Some(Duration::ZERO));
    }

    #[test]
    fn a_read_past_its_deadline_is_given_up_once() {
        let mut reads = Reads::default();
        reads.gather(RequestId(1), Time(5), Time(100));
        let id = reads.ask(Time(5)).unwrap();
        reads.wait_applied(RequestId(2), Time(5), 50, Time(200));
        assert_eq!(reads.expire(Time(150)), [RequestId(1)]);
        assert!(reads.aborted(&[id]).is_empty());
        assert_eq!(reads.expire(Time(200)), [RequestId(2)]);
        assert!(reads.applied(50).is_empty());
    }
}
