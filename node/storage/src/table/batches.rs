//! Which batches a table holds versions of, and when they were made.
//!
//! ```text
//! batches := count:varint
//!            (last revision, stamp, clock: varint each, less that of the entry before)*
//! ```
//! The list is what turns a stamp into a revision: the greatest batch with a stamp at or below
//! it says where to read. It is exact above the floor and trimmed below, where nobody reads:
//! a job keeps of the batches at or below its floor only the greatest, and a table lists no
//! other batches than those that it holds a version of.

use std::sync::Arc;

use crate::codec::{Decoder, Malformed, put_varint};

/// A batch that was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedBatch {
    /// The revision of its last command.
    pub last: u64,
    /// Orders batches causally; rises with each.
    pub stamp: u64,
    /// Milliseconds since 1970; never falls.
    pub clock: u64,
}

/// Encodes batches in order.
pub(crate) fn encode(batches: &[TimedBatch]) -> Vec<u8> {
    let mut out = Vec::with_capacity(3 + 4 * batches.len());
    put_varint(&mut out, batches.len() as u64);
    let mut before = TimedBatch { last: 0, stamp: 0, clock: 0 };
    for batch in batches {
        put_varint(&mut out, batch.last - before.last);
        put_varint(&mut out, batch.stamp - before.stamp);
        put_varint(&mut out, batch.clock - before.clock);
        before = *batch;
    }
    out
}

/// Reads what [`encode`] wrote.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<TimedBatch>, Malformed> {
    let mut decoder = Decoder::new(bytes);
    let mut batches: Vec<TimedBatch> = Vec::new();
    for _ in 0..decoder.varint()? {
        let before = batches.last().copied();
        let (last, stamp, clock) = before.map_or((0, 0, 0), |b| (b.last, b.stamp, b.clock));
        let mut after =
            |value: u64| value.checked_add(decoder.varint()?).ok_or("a list of batches overflows");
        let batch = TimedBatch { last: after(last)?, stamp: after(stamp)?, clock: after(clock)? };
        if before.is_some() && (batch.last == last || batch.stamp == stamp) {
            return Err("a list of batches is out of order");
        }
        batches.push(batch);
    }
    decoder.finish()?;
    Ok(batches)
}

/// The batches of several tables, each once and in order.
pub(crate) fn merge(lists: Vec<Vec<TimedBatch>>) -> Vec<TimedBatch> {
    let mut merged = lists.concat();
    merged.sort_unstable_by_key(|batch| batch.last);
    merged.dedup_by_key(|batch| batch.last);
    merged
}

/// Batches that tables to be written may hold versions of, in order.
#[derive(Clone, Debug, Default)]
pub struct Candidates {
    batches: Arc<[TimedBatch]>,
    floor: u64,
}

impl Candidates {
    /// Of the batches at or below `floor` only the greatest, which every table then lists.
    pub fn new(batches: &[TimedBatch], floor: u64) -> Self {
        let above = batches.partition_point(|batch| batch.last <= floor);
        Self { batches: batches[above.saturating_sub(1)..].into(), floor }
    }
}

/// The list of one table, while versions are added to it.
pub(crate) struct Contained {
    candidates: Candidates,
    /// Which of the candidates are contained.
    contained: Vec<bool>,
}

impl Contained {
    pub(crate) fn new(candidates: Candidates) -> Self {
        let Candidates { batches, floor } = &candidates;
        let contained = batches.iter().map(|batch| batch.last <= *floor).collect();
        Self { candidates, contained }
    }

    /// A version of this revision is in the table.
    pub(crate) fn note(&mut self, revision: u64) {
        let batches = &self.candidates.batches;
        let at = batches.partition_point(|batch| batch.last < revision);
        if let Some(contained) = self.contained.get_mut(at) {
            *contained = true;
        }
    }

    pub(crate) fn finish(&self) -> Vec<TimedBatch> {
        let batches = self.candidates.batches.iter().zip(&self.contained);
        batches.filter(|(_, contained)| **contained).map(|(batch, _)| *batch).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(last: u64) -> TimedBatch {
        TimedBatch { last, stamp: last << 16, clock: last / 10 }
    }

    fn batches(lasts: &[u64]) -> Vec<TimedBatch> {
        lasts.iter().copied().map(batch).collect()
    }

    #[test]
    fn a_list_comes_back_as_it_was_written() {
        for list in [batches(&[]), batches(&[1]), batches(&[3, 4, 900, u64::MAX >> 16])] {
            assert_eq!(decode(&encode(&list)), Ok(list));
        }
    }

    #[test]
    fn a_list_cut_or_flipped_anywhere_never_panics() {
        let bytes = encode(&batches(&[3, 4, 900]));
        for at in 0..bytes.len() {
            assert!(decode(&bytes[..at]).is_err());
            let mut flipped = bytes.clone();
            flipped[at] ^= 0xff;
            let _ = decode(&flipped);
        }
    }

    #[test]
    fn lists_out_of_order_are_refused() {
        assert!(decode(&[2, 1, 1, 0, 0, 1, 0]).is_err());
        assert!(decode(&[2, 1, 1, 0, 1, 0, 0]).is_err());
    }

    #[test]
    fn merged_lists_name_each_batch_once() {
        let merged = merge(vec![batches(&[3, 9]), batches(&[4, 9, 12])]);
        assert_eq!(merged, batches(&[3, 4, 9, 12]));
    }

    #[test]
    fn a_table_lists_the_batches_it_holds_versions_of() {
        let candidates = Candidates::new(&batches(&[3, 6, 9, 12]), 0);
        let mut contained = Contained::new(candidates);
        for revision in [4, 5, 12, 13] {
            contained.note(revision);
        }
        assert_eq!(contained.finish(), batches(&[6, 12]));
    }

    #[test]
    fn of_the_batches_at_or_below_the_floor_the_greatest_stays() {
        for (floor, kept) in [(2, vec![9]), (3, vec![3, 9]), (8, vec![6, 9]), (20, vec![12])] {
            let mut contained = Contained::new(Candidates::new(&batches(&[3, 6, 9, 12]), floor));
            if floor < 9 {
                contained.note(8);
            }
            assert_eq!(contained.finish(), batches(&kept), "above {floor}");
        }
    }
}
