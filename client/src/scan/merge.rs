//! One page put together from several partitions whose keys interleave. Pure.
//!
//! Of the entries fetched so far only those are kept that can still be in the
//! page: whatever comes later can only push the others further out. So memory is
//! bounded by the page, however many partitions there are.

use bytes::Bytes;
use doug_proto::limits;
use doug_proto::token::Place;
use doug_proto::v1::ScanEntry;
use std::collections::BTreeMap;

/// One partition's part in a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leg {
    pub(super) partition: u64,
    /// Its snapshot, from its first page on.
    pub(super) place: Option<Place>,
    known: Known,
    /// Entries of it were fetched that are beyond the page.
    cut: bool,
}

/// Up to where a partition's entries were fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Known {
    Nothing,
    UpTo(Bytes),
    All,
}

impl Leg {
    pub(super) fn new(partition: u64, place: Option<Place>) -> Self {
        Self { partition, place, known: Known::Nothing, cut: false }
    }

    /// The last key fetched; empty before the first.
    pub(super) fn last_key(&self) -> Bytes {
        match &self.known {
            Known::UpTo(key) => key.clone(),
            Known::Nothing | Known::All => Bytes::new(),
        }
    }

    /// Whether the page returns the last of its entries.
    pub(super) fn is_done(&self) -> bool {
        self.known == Known::All && !self.cut
    }
}

/// A page in the making.
pub(super) struct Merge {
    pub(super) legs: Vec<Leg>,
    reverse: bool,
    limit: usize,
    /// Each with the number of its leg.
    entries: BTreeMap<Bytes, (usize, ScanEntry)>,
    bytes: usize,
}

impl Merge {
    pub(super) fn new(legs: Vec<Leg>, reverse: bool, limit: usize) -> Self {
        Self { legs, reverse, limit, entries: BTreeMap::new(), bytes: 0 }
    }

    /// Which legs must be fetched from before the page is complete; none: it is.
    pub(super) fn wanting(&self) -> Vec<usize> {
        let end = self.is_full().then(|| self.last_kept()).flatten();
        let wants = |leg: &Leg| match (&leg.known, end) {
            (Known::Nothing, _) => true,
            (Known::All, _) => false,
            (Known::UpTo(_), None) => true,
            (Known::UpTo(known), Some(end)) => self.before(known, end),
        };
        (0..self.legs.len()).filter(|number| wants(&self.legs[*number])).collect()
    }

    /// How many entries to fetch of each of `legs` legs: a fair share, and some
    /// more, since keys do not fall evenly.
    pub(super) fn share(&self, legs: usize) -> u32 {
        let fair = self.limit / legs.max(1);
        let share = (fair + fair / 4 + 8).min(self.limit);
        u32::try_from(share).expect("a page has at most 10,000 entries")
    }

    /// Adds what was fetched of one leg. `all`: there is no more of it.
    pub(super) fn add(&mut self, number: usize, entries: Vec<ScanEntry>, all: bool) {
        let leg = &mut self.legs[number];
        if all {
            leg.known = Known::All;
        } else if let Some(last) = entries.last() {
            leg.known = Known::UpTo(last.key.clone());
        }
        for entry in entries {
            self.bytes += size(&entry);
            self.entries.insert(entry.key.clone(), (number, entry));
        }
        self.clip();
    }

    /// Drops from the far end what cannot be in the page any more.
    fn clip(&mut self) {
        while let Some((number, last)) = self.farthest() {
            let rest = self.bytes - size(last);
            let within = self.entries.len() <= self.limit && rest < limits::SCAN_PAGE_BYTES;
            if within {
                return;
            }
            self.legs[number].cut = true;
            self.bytes = rest;
            if self.reverse {
                self.entries.pop_first()
            } else {
                self.entries.pop_last()
            };
        }
    }

    fn farthest(&self) -> Option<(usize, &ScanEntry)> {
        let farthest = if self.reverse {
            self.entries.first_key_value()
        } else {
            self.entries.last_key_value()
        };
        farthest.map(|(_, (number, entry))| (*number, entry))
    }

    fn last_kept(&self) -> Option<&Bytes> {
        self.farthest().map(|(_, entry)| &entry.key)
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= self.limit || self.bytes >= limits::SCAN_PAGE_BYTES
    }

    /// Whether `a` is returned before `b`.
    fn before(&self, a: &Bytes, b: &Bytes) -> bool {
        if self.reverse { a > b } else { a < b }
    }

    /// The entries of the complete page, in order, and the legs.
    pub(super) fn finish(self) -> (Vec<ScanEntry>, Vec<Leg>) {
        let entries = self.entries.into_values().map(|(_, entry)| entry);
        let entries = if self.reverse { entries.rev().collect() } else { entries.collect() };
        (entries, self.legs)
    }
}

fn size(entry: &ScanEntry) -> usize {
    entry.key.len() + entry.value.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Serves a leg from its sorted keys, `most` at a time.
    fn serve(merge: &mut Merge, number: usize, keys: &[Bytes], most: usize) {
        let reverse = merge.reverse;
        let last = merge.legs[number].last_key();
        let left = keys
            .iter()
            .filter(|key| last.is_empty() || if reverse { **key < last } else { **key > last });
        let mut left: Vec<_> = left.cloned().collect();
        if reverse {
            left.reverse();
        }
        let all = left.len() <= most;
        left.truncate(most);
        let entry = |key: Bytes| ScanEntry { value: key.clone(), key, revision: 1 };
        merge.add(number, left.into_iter().map(entry).collect(), all);
    }

    fn keys() -> impl Strategy<Value = Vec<Vec<Bytes>>> {
        prop::collection::btree_map(prop::collection::vec(any::<u8>(), 1..4), 0..5_usize, 0..200)
            .prop_map(|owners| {
                let mut legs = vec![Vec::new(); 5];
                for (key, owner) in owners {
                    legs[owner].push(Bytes::from(key));
                }
                legs
            })
    }

    proptest! {
        #[test]
        fn a_page_is_the_first_of_all_keys_sorted(
            keys in keys(), reverse: bool, limit in 1..50_usize, most in 1..20_usize
        ) {
            let legs = (1..=5).map(|partition| Leg::new(partition, None)).collect();
            let mut merge = Merge::new(legs, reverse, limit);
            loop {
                let wanting = merge.wanting();
                let Some(&number) = wanting.first() else { break };
                serve(&mut merge, number, &keys[number], most);
                prop_assert!(merge.entries.len() <= limit);
            }
            let (page, legs) = merge.finish();
            let page: Vec<_> = page.into_iter().map(|entry| entry.key).collect();
            let mut sorted: Vec<_> = keys.concat();
            sorted.sort();
            if reverse { sorted.reverse(); }
            sorted.truncate(limit);
            prop_assert_eq!(&page, &sorted);
            for (leg, keys) in legs.iter().zip(&keys) {
                let returned = keys.iter().all(|key| page.contains(key));
                prop_assert!(returned || !leg.is_done(), "{:?} is done too early", leg);
            }
        }
    }

    #[test]
    fn a_page_ends_when_it_holds_its_bytes() {
        let mut merge = Merge::new(vec![Leg::new(1, None)], false, 1_000);
        let value = Bytes::from(vec![0; limits::SCAN_PAGE_BYTES / 2]);
        let entry =
            |key: &'static str| ScanEntry { key: key.into(), value: value.clone(), revision: 1 };
        merge.add(0, vec![entry("a"), entry("b"), entry("c"), entry("d")], true);
        let (page, legs) = merge.finish();
        assert_eq!(page.len(), 2);
        assert!(!legs[0].is_done());
    }
}
