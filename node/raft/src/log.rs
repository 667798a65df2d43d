//! The log as far as it is in memory: every batch's place since the last compaction, and the bytes
//! of those not evicted.

use std::collections::VecDeque;

use crate::batch::Batch;
use crate::clock::BatchTime;
use crate::ids::{Index, PartitionId, Term, Ticket};
use crate::membership::{Membership, Memberships};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Slot {
    /// Without its bytes while evicted.
    batch: Batch,
    payload: Payload,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Payload {
    Here,
    Evicted,
    /// Evicted, and the host was asked for it.
    Asked,
}

/// Batches gathered for sending or applying.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pub(crate) batches: Vec<Batch>,
    /// Evicted payloads that stand in the way and were not asked for before.
    pub(crate) ask: Option<(Index, Index)>,
}

/// How much to gather. The first batch is always taken, however large.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) to: Index,
    pub(crate) batches: usize,
    pub(crate) bytes: u64,
    pub(crate) fetch_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Log {
    partition: PartitionId,
    base: (Index, Term),
    /// Of the batch that ends at `base`.
    base_time: BatchTime,
    slots: VecDeque<Slot>,
    memberships: Memberships,
    durable: Index,
    /// Appends under way: ticket and last index, both increasing.
    writing: VecDeque<(Ticket, Index)>,
    payload_bytes: u64,
    /// Every payload that is here starts at or above this index.
    payloads_from: Index,
}

impl Log {
    /// A log that starts after `base`, where `membership` holds.
    pub(crate) fn new(
        partition: PartitionId,
        base: (Index, Term),
        base_time: BatchTime,
        membership: Membership,
        batches: Vec<Batch>,
    ) -> Log {
        let mut log = Log {
            partition,
            base,
            base_time,
            slots: VecDeque::with_capacity(batches.len()),
            memberships: Memberships::starting_with(membership),
            durable: base.0,
            writing: VecDeque::new(),
            payload_bytes: 0,
            payloads_from: base.0 + 1,
        };
        for batch in batches {
            log.push(batch);
        }
        log.durable = log.last_index();
        log
    }

    pub(crate) fn base(&self) -> (Index, Term) {
        self.base
    }

    pub(crate) fn last_index(&self) -> Index {
        self.slots.back().map_or(self.base.0, |slot| slot.batch.last())
    }

    pub(crate) fn last_term(&self) -> Term {
        self.slots.back().map_or(self.base.1, |slot| slot.batch.term)
    }

    /// Clock and stamp of the log's end.
    pub(crate) fn last_time(&self) -> BatchTime {
        self.slots.back().map_or(self.base_time, |slot| slot.batch.time)
    }

    /// Clock and stamp of the batch that ends at `index`.
    pub(crate) fn time_at(&self, index: Index) -> Option<BatchTime> {
        if index == self.base.0 {
            return Some(self.base_time);
        }
        self.batch_at(index).filter(|batch| batch.last() == index).map(|batch| batch.time)
    }

    pub(crate) fn durable(&self) -> Index {
        self.durable
    }

    pub(crate) fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    pub(crate) fn memberships(&self) -> &Memberships {
        &self.memberships
    }

    /// Whether each membership in force stands in a batch of its own, one after the other.
    pub(crate) fn memberships_stand_in_batches(&self) -> bool {
        let is_one = |index| {
            let batch = self.batch_at(index);
            batch.is_some_and(|at| at.base == index && at.kind.is_membership())
        };
        self.memberships.indices().all(is_one)
            && self.memberships.indices().is_sorted_by(|a, b| a < b)
    }

    /// Forgets everything up to `index`, a batch end, where `membership` holds.
    pub(crate) fn compact_to_snapshot(&mut self, index: Index, membership: Membership) {
        self.compact(index);
        self.memberships.replace_base(membership);
    }

    fn position(&self, index: Index) -> Option<usize> {
        if index <= self.base.0 || index > self.last_index() {
            return None;
        }
        // Most questions are about the log's end.
        if self.slots.back().is_some_and(|slot| slot.batch.base <= index) {
            return Some(self.slots.len() - 1);
        }
        Some(self.slots.partition_point(|slot| slot.batch.last() < index))
    }

    pub(crate) fn term_at(&self, index: Index) -> Option<Term> {
        if index == self.base.0 {
            return Some(self.base.1);
        }
        self.position(index).map(|at| self.slots[at].batch.term)
    }

    /// The batch, perhaps without its bytes, that holds `index`.
    pub(crate) fn batch_at(&self, index: Index) -> Option<&Batch> {
        self.position(index).map(|at| &self.slots[at].batch)
    }

    /// Whether a batch ends at `index`, so that another may follow it.
    pub(crate) fn is_boundary(&self, index: Index) -> bool {
        index == self.base.0 || self.batch_at(index).is_some_and(|batch| batch.last() == index)
    }

    /// First index of the run of `index`'s term, as far back as the log goes.
    pub(crate) fn first_of_term(&self, term: Term) -> Option<Index> {
        let at = self.slots.partition_point(|slot| slot.batch.term < term);
        self.slots.get(at).filter(|slot| slot.batch.term == term).map(|slot| slot.batch.base)
    }

    /// Last index of this term, the compacted end included.
    pub(crate) fn last_of_term(&self, term: Term) -> Option<Index> {
        let after = self.slots.partition_point(|slot| slot.batch.term <= term);
        match after.checked_sub(1).map(|at| &self.slots[at].batch) {
            Some(batch) => (batch.term == term).then(|| batch.last()),
            None => (self.base.1 == term).then_some(self.base.0),
        }
    }

    /// Encoded bytes of the batches above `after` up to `to`, evicted or not.
    pub(crate) fn bytes_between(&self, after: Index, to: Index) -> u64 {
        let start = self.slots.partition_point(|slot| slot.batch.last() <= after);
        self.slots
            .range(start..)
            .take_while(|slot| slot.batch.last() <= to)
            .map(|slot| slot.batch.size())
            .sum()
    }

    /// Appends a batch that is being written under `ticket`.
    pub(crate) fn append(&mut self, batch: Batch, ticket: Ticket) {
        self.writing.push_back((ticket, batch.last()));
        self.push(batch);
    }

    fn push(&mut self, batch: Batch) {
        assert!(
            batch.partition == self.partition,
            "a batch of partition {} was given to partition {}",
            batch.partition,
            self.partition
        );
        assert!(
            batch.base == self.last_index() + 1,
            "partition {}: {batch} does not follow the log's end at {}",
            self.partition,
            self.last_index()
        );
        assert!(
            batch.term >= self.last_term(),
            "partition {}: {batch} would make terms fall below {} in the log",
            self.partition,
            self.last_term()
        );
        // Readers at a stamp, and whatever expires, rely on it; the checksum of the batch covers
        // both times.
        assert!(
            batch.time.may_follow(self.last_time()),
            "partition {}: {batch} of clock {} and stamp {} does not come after clock {} and stamp \
             {} in the log",
            self.partition,
            batch.time.clock,
            batch.time.stamp,
            self.last_time().clock,
            self.last_time().stamp
        );
        if batch.kind.is_membership() {
            self.memberships.push(batch.base, membership_of(&batch));
        }
        let payload = if batch.is_evicted() { Payload::Evicted } else { Payload::Here };
        if payload == Payload::Here {
            self.payload_bytes += batch.size();
        }
        self.slots.push_back(Slot { batch, payload });
    }

    /// The memberships that stood at `base` or after it are no longer in force.
    pub(crate) fn truncate_memberships(&mut self, base: Index) {
        self.memberships.truncate(base);
    }

    /// Forgets everything from `base` on, the base of a batch, except what memberships stood there.
    pub(crate) fn truncate(&mut self, base: Index) {
        assert!(
            self.is_boundary(base - 1),
            "partition {}: cutting the log at {base} would cut a batch in two",
            self.partition
        );
        while self.last_index() >= base {
            let slot = self.slots.pop_back().expect("the last index is above the base");
            self.forget_payload(&slot);
        }
        self.writing.retain(|&(_, last)| last < base);
        self.durable = self.durable.min(base - 1);
    }

    /// Everything written under `ticket` or an earlier one is durable.
    pub(crate) fn persisted(&mut self, ticket: Ticket) {
        while let Some(&(written, last)) = self.writing.front() {
            if written > ticket {
                break;
            }
            self.durable = self.durable.max(last);
            self.writing.pop_front();
        }
    }

    /// The greatest batch end at or below `index`, which must not be compacted away.
    pub(crate) fn boundary_at_or_below(&self, index: Index) -> Index {
        match self.batch_at(index) {
            Some(batch) if batch.last() == index => index,
            Some(batch) => batch.base - 1,
            None => index.min(self.last_index()),
        }
    }

    /// Forgets everything up to `index`, a batch end.
    pub(crate) fn compact(&mut self, index: Index) {
        if index <= self.base.0 {
            return;
        }
        assert!(
            self.is_boundary(index),
            "partition {}: compacting up to {index} would cut a batch in two",
            self.partition
        );
        let term = self.term_at(index).expect("a boundary has a term");
        let time = self.time_at(index).expect("a boundary has a time");
        while self.slots.front().is_some_and(|slot| slot.batch.last() <= index) {
            let slot = self.slots.pop_front().expect("it was just seen");
            self.forget_payload(&slot);
        }
        self.memberships.compact(index);
        self.base = (index, term);
        self.base_time = time;
        self.writing.retain(|&(_, last)| last > index);
        self.durable = self.durable.max(index);
        self.payloads_from = self.payloads_from.max(index + 1);
    }

    /// Forgets everything: the log now starts after `base`, where `membership` holds.
    pub(crate) fn reset(
        &mut self,
        base: (Index, Term),
        base_time: BatchTime,
        membership: Membership,
    ) {
        *self = Log::new(self.partition, base, base_time, membership, Vec::new());
    }

    fn forget_payload(&mut self, slot: &Slot) {
        if slot.payload == Payload::Here {
            self.payload_bytes -= slot.batch.size();
        }
    }

    /// Drops the bytes of durable batches up to `index`; only the durable can be read again.
    pub(crate) fn evict(&mut self, index: Index) {
        let upto = index.min(self.durable);
        if upto < self.payloads_from {
            return;
        }
        let start = self.slots.partition_point(|slot| slot.batch.last() < self.payloads_from);
        for slot in self.slots.range_mut(start..) {
            if slot.batch.last() > upto {
                break;
            }
            if slot.payload == Payload::Here {
                slot.batch.evict();
                slot.payload = Payload::Evicted;
                self.payload_bytes -= slot.batch.size();
            }
        }
        self.payloads_from = self.payloads_from.max(upto + 1);
    }

    /// Takes back bytes that were evicted. A batch that has been replaced or compacted since is
    /// ignored.
    pub(crate) fn fetched(&mut self, batch: Batch) {
        let Some(at) = self.position(batch.base) else { return };
        let slot = &mut self.slots[at];
        if slot.payload == Payload::Here || slot.batch.term != batch.term {
            return;
        }
        assert!(
            slot.batch.base == batch.base
                && slot.batch.count == batch.count
                && slot.batch.size() == batch.size(),
            "partition {}: the log on disk holds {batch} where {} was written",
            self.partition,
            slot.batch
        );
        self.payload_bytes += slot.batch.size();
        self.payloads_from = self.payloads_from.min(batch.base);
        slot.batch = batch;
        slot.payload = Payload::Here;
    }

    /// Clones the batches from `from` (the base of one) on, up to the first evicted one.
    pub(crate) fn gather(&mut self, from: Index, limits: Limits) -> Gathered {
        let mut gathered = Gathered::default();
        let Some(start) = self.position(from) else { return gathered };
        assert!(
            self.slots[start].batch.base == from,
            "partition {}: {from} is inside {}, and a batch is never cut",
            self.partition,
            self.slots[start].batch
        );
        let mut bytes = 0;
        for slot in self.slots.range(start..) {
            let full = gathered.batches.len() >= limits.batches
                || bytes + slot.batch.size() > limits.bytes;
            if slot.batch.last() > limits.to || (full && !gathered.batches.is_empty()) {
                return gathered;
            }
            if slot.payload != Payload::Here {
                break;
            }
            bytes += slot.batch.size();
            gathered.batches.push(slot.batch.clone());
        }
        if gathered.batches.is_empty() {
            gathered.ask = self.ask(start, limits);
        }
        gathered
    }

    /// Marks the evicted batches from `start` on as asked for, unless the first one is already.
    fn ask(&mut self, start: usize, limits: Limits) -> Option<(Index, Index)> {
        let mut asked = None;
        let mut bytes = 0;
        for slot in self.slots.range_mut(start..) {
            let full = bytes + slot.batch.size() > limits.fetch_bytes && asked.is_some();
            if slot.payload != Payload::Evicted || slot.batch.last() > limits.to || full {
                break;
            }
            bytes += slot.batch.size();
            slot.payload = Payload::Asked;
            let from = asked.map_or(slot.batch.base, |(from, _)| from);
            asked = Some((from, slot.batch.last()));
        }
        asked
    }
}

fn membership_of(batch: &Batch) -> Membership {
    let command = batch.commands().next().expect("a configuration batch holds one command");
    Membership::decode(&command)
        .expect("a batch is read or made only with a membership that can be read")
}
