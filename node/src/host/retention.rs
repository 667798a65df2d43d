//! How much applied log a replica keeps for followers that lag.

use doug_raft::{Batch, Index};
use std::collections::VecDeque;

/// The applied batches that the log still holds, oldest first.
#[derive(Debug, Default)]
pub(super) struct Retention {
    batches: VecDeque<(Index, u64)>,
    bytes: u64,
    /// Everything up to here is in SSTables.
    flushed: Index,
    floor: Index,
}

impl Retention {
    pub(super) fn new(flushed: Index) -> Self {
        Self { flushed, floor: flushed, ..Self::default() }
    }

    pub(super) fn applied(&mut self, batch: &Batch) {
        let bytes = batch.encoded.len() as u64;
        self.batches.push_back((batch.last(), bytes));
        self.bytes += bytes;
    }

    pub(super) fn flushed(&mut self, index: Index) {
        self.flushed = self.flushed.max(index);
    }

    /// A snapshot replaced everything up to `index`.
    pub(super) fn reset(&mut self, index: Index) {
        *self = Self::new(index);
    }

    /// The greatest index the log may forget, if it rose. Batches that every
    /// other member has go first, whatever their size; beyond `budget` bytes
    /// those that a follower still lacks go too, and it gets a snapshot. What
    /// is not flushed never goes.
    pub(super) fn advance(&mut self, budget: u64, everyone_has: Index) -> Option<Index> {
        let before = self.floor;
        while let Some((last, bytes)) = self.batches.front().copied() {
            let wanted = last > everyone_has && self.bytes <= budget;
            if last > self.flushed || wanted {
                break;
            }
            self.batches.pop_front();
            self.bytes -= bytes;
            self.floor = self.floor.max(last);
        }
        (self.floor > before).then_some(self.floor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use doug_raft::{BatchKind, BatchTime, PartitionId};

    fn retention_of(count: u64) -> (Retention, u64) {
        let mut retention = Retention::default();
        let mut size = 0;
        for base in 1..=count {
            let commands = [Bytes::from_static(b"command")];
            let (kind, time) = (BatchKind::Commands, BatchTime::default());
            let batch = Batch::encode(PartitionId(1), kind, 1, base, time, &commands);
            size = batch.encoded.len() as u64;
            retention.applied(&batch);
        }
        (retention, size)
    }

    #[test]
    fn what_is_not_flushed_is_kept() {
        let (mut retention, _) = retention_of(10);
        assert_eq!(retention.advance(0, 10), None);
        retention.flushed(4);
        assert_eq!(retention.advance(0, 10), Some(4));
    }

    #[test]
    fn a_lagging_follower_keeps_the_log_up_to_the_budget() {
        let (mut retention, size) = retention_of(10);
        retention.flushed(10);
        assert_eq!(retention.advance(100 * size, 3), Some(3));
        assert_eq!(retention.advance(2 * size, 3), Some(8));
    }
}
