//! Writes that were proposed and whose outcome is awaited.

use crate::work::RequestId;
use doug_raft::{Batch, Index, Term, Time};
use std::collections::BTreeMap;

/// The proposed writes of one replica, by base and term of their batch: after a
/// snapshot replaced the log, two batches of this node may claim one base, and
/// only the commit says which of them stands.
#[derive(Debug, Default)]
pub(super) struct Pending {
    batches: BTreeMap<(Index, Term), Vec<(RequestId, Time)>>,
    /// No waiting request has an earlier deadline.
    next_deadline: Option<Time>,
}

/// What an applied batch means for the writes that waited.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Resolved {
    /// Requests of the batch itself, one per command, and until when each waits.
    pub applied: Vec<(RequestId, Time)>,
    /// Requests whose place in the log was taken by another leader's batch:
    /// they never will be executed.
    pub overwritten: Vec<RequestId>,
}

impl Pending {
    pub(super) fn insert(&mut self, term: Term, base: Index, requests: Vec<(RequestId, Time)>) {
        let earliest = requests.iter().map(|(_, deadline)| *deadline).min();
        self.next_deadline = [self.next_deadline, earliest].into_iter().flatten().min();
        let older = self.batches.insert((base, term), requests);
        assert!(older.is_none(), "two batches of term {term} were proposed at index {base}");
    }

    /// How many batches wait for their commit.
    pub(super) fn batches(&self) -> usize {
        self.batches.len()
    }

    /// The batch is committed and about to be applied.
    pub(super) fn resolve(&mut self, batch: &Batch) -> Resolved {
        let mut resolved = Resolved::default();
        let later = self.batches.split_off(&(batch.last() + 1, 0));
        for (place, requests) in std::mem::replace(&mut self.batches, later) {
            if place == (batch.base, batch.term) {
                resolved.applied = requests;
            } else {
                resolved.overwritten.extend(requests.into_iter().map(|(request, _)| request));
            }
        }
        resolved
    }

    /// Everything up to `index` was replaced by a snapshot: nobody can say any
    /// more what became of these.
    pub(super) fn forget(&mut self, index: Index) -> Vec<RequestId> {
        let later = self.batches.split_off(&(index + 1, 0));
        let gone = std::mem::replace(&mut self.batches, later);
        gone.into_values().flatten().map(|(request, _)| request).collect()
    }

    /// Requests whose deadline has passed. They stay in place, so that commands
    /// and requests keep lining up; their second answer finds nobody.
    pub(super) fn expire(&mut self, now: Time) -> Vec<RequestId> {
        if self.next_deadline.is_none_or(|deadline| now < deadline) {
            return Vec::new();
        }
        let mut expired = Vec::new();
        let mut next = None;
        for (request, deadline) in self.batches.values_mut().flatten() {
            if *deadline <= now {
                expired.push(*request);
                *deadline = Time(u64::MAX);
            } else if *deadline < Time(u64::MAX) {
                next = Some(next.map_or(*deadline, |n: Time| n.min(*deadline)));
            }
        }
        self.next_deadline = next;
        expired
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use doug_raft::{BatchKind, BatchTime, PartitionId};

    fn batch(term: Term, base: Index, count: usize) -> Batch {
        let commands = vec![Bytes::from_static(b"x"); count];
        let time = BatchTime::default();
        Batch::encode(PartitionId(1), BatchKind::Commands, term, base, time, &commands)
    }

    fn waiting(ids: &[u64]) -> Vec<(RequestId, Time)> {
        ids.iter().map(|id| (RequestId(*id), Time(100))).collect()
    }

    #[test]
    fn a_batch_of_the_same_term_and_base_resolves_its_requests() {
        let mut pending = Pending::default();
        pending.insert(2, 5, waiting(&[1, 2]));
        let resolved = pending.resolve(&batch(2, 5, 2));
        assert_eq!(resolved.applied, waiting(&[1, 2]));
        assert!(resolved.overwritten.is_empty());
    }

    #[test]
    fn another_leaders_batch_at_its_place_means_it_never_is_executed() {
        let mut pending = Pending::default();
        pending.insert(2, 5, waiting(&[1]));
        pending.insert(2, 6, waiting(&[2]));
        pending.insert(2, 7, waiting(&[3]));
        let resolved = pending.resolve(&batch(3, 5, 2));
        assert!(resolved.applied.is_empty());
        assert_eq!(resolved.overwritten, [RequestId(1), RequestId(2)]);
    }

    #[test]
    fn two_batches_at_one_base_stay_open_until_one_of_them_commits() {
        let mut pending = Pending::default();
        pending.insert(2, 5, waiting(&[1]));
        pending.insert(4, 5, waiting(&[2]));
        let resolved = pending.resolve(&batch(4, 5, 1));
        assert_eq!(resolved.applied, waiting(&[2]));
        assert_eq!(resolved.overwritten, [RequestId(1)]);
    }

    #[test]
    fn a_deadline_is_reported_once_and_the_place_is_kept() {
        let mut pending = Pending::default();
        pending.insert(2, 5, waiting(&[1, 2]));
        assert!(pending.expire(Time(99)).is_empty());
        assert_eq!(pending.expire(Time(100)), [RequestId(1), RequestId(2)]);
        assert!(pending.expire(Time(200)).is_empty());
        assert_eq!(pending.resolve(&batch(2, 5, 2)).applied.len(), 2);
    }
}
