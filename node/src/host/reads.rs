//! Reads that wait for an index, or for an index to be applied.

use super::event::{ReadKind, RequestId};
use doug_raft::{Index, ReadId, Time};
use std::collections::BTreeMap;

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
    /// The data is at least as fresh as this moment.
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
    kind: ReadKind,
    deadline: Time,
}

impl Reads {
    /// The moment the replica's data is known to be as fresh as.
    pub(super) fn fresh(&self) -> Option<Time> {
        self.fresh
    }

    /// Whether no read waits.
    pub(super) fn is_empty(&self) -> bool {
        self.gathering.is_empty() && self.asked.is_empty() && self.applying.is_empty()
    }

    /// Adds a read that needs an index of the leader. The caller has served the
    /// bounded reads that need none.
    pub(super) fn gather(&mut self, request: RequestId, kind: ReadKind, deadline: Time) {
        self.note_deadline(deadline);
        self.gathering.push(WaitingRead { request, kind, deadline });
    }

    /// Adds a read that waits for `index` to be applied.
    pub(super) fn wait_applied(&mut self, request: RequestId, index: Index, deadline: Time) {
        self.note_deadline(deadline);
        let read = WaitingRead { request, kind: ReadKind::Applied { index }, deadline };
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

    /// Everything up to `index` is applied: the reads that can be served now.
    pub(super) fn applied(&mut self, index: Index) -> Vec<(RequestId, ReadKind)> {
        if self.applying.first_key_value().is_none_or(|(first, _)| *first > index) {
            return Vec::new();
        }
        let later = self.applying.split_off(&(index + 1));
        let groups = std::mem::replace(&mut self.applying, later).into_values().flatten();
        let mut ready = Vec::new();
        for group in groups {
            self.fresh = self.fresh.max(group.since);
            ready.extend(group.reads.into_iter().map(|read| (read.request, read.kind)));
        }
        ready
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

    const LINEARIZABLE: ReadKind = ReadKind::Linearizable;

    #[test]
    fn the_reads_of_a_turn_share_one_question() {
        let mut reads = Reads::default();
        reads.gather(RequestId(1), LINEARIZABLE, Time(100));
        reads.gather(RequestId(2), LINEARIZABLE, Time(100));
        let id = reads.ask(Time(5)).unwrap();
        assert_eq!(reads.ask(Time(5)), None);
        reads.index_known(&[id], 7);
        assert!(reads.applied(6).is_empty());
        assert_eq!(reads.applied(7).len(), 2);
        assert_eq!(reads.fresh(), Some(Time(5)));
    }

    #[test]
    fn reads_that_come_while_a_question_is_open_share_the_next() {
        let mut reads = Reads::default();
        reads.gather(RequestId(1), LINEARIZABLE, Time(100));
        let first = reads.ask(Time(5)).unwrap();
        reads.gather(RequestId(2), LINEARIZABLE, Time(100));
        reads.gather(RequestId(3), LINEARIZABLE, Time(100));
        assert_eq!(reads.ask(Time(6)), None);
        reads.index_known(&[first], 7);
        let second = reads.ask(Time(7)).unwrap();
        assert_eq!(reads.aborted(&[second]), [RequestId(2), RequestId(3)]);
    }

    #[test]
    fn freshness_is_that_of_the_question_not_of_the_answer() {
        let mut reads = Reads::default();
        reads.gather(RequestId(1), LINEARIZABLE, Time(100));
        let early = reads.ask(Time(5)).unwrap();
        reads.gather(RequestId(2), LINEARIZABLE, Time(100));
        reads.index_known(&[early], 4);
        let late = reads.ask(Time(9)).unwrap();
        reads.index_known(&[late], 3);
        assert_eq!(reads.applied(3), [(RequestId(2), LINEARIZABLE)]);
        assert_eq!(reads.fresh(), Some(Time(9)));
        reads.applied(4);
        assert_eq!(reads.fresh(), Some(Time(9)));
    }

    #[test]
    fn a_read_past_its_deadline_is_given_up_once() {
        let mut reads = Reads::default();
        reads.gather(RequestId(1), LINEARIZABLE, Time(100));
        let id = reads.ask(Time(5)).unwrap();
        reads.wait_applied(RequestId(2), 50, Time(200));
        assert_eq!(reads.expire(Time(150)), [RequestId(1)]);
        assert!(reads.aborted(&[id]).is_empty());
        assert_eq!(reads.expire(Time(200)), [RequestId(2)]);
        assert!(reads.applied(50).is_empty());
    }
}
