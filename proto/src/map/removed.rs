//! Ids of keyspaces that are gone for good.

use super::{KeyspaceId, PartitionMap};
use crate::error::Fault;
use crate::v1;

/// The ids of keyspaces that were removed for good: never used again, and a map heard late
/// brings none of them back.
///
/// Ids are given in order, so those of removed keyspaces lie side by side: kept as ranges, a
/// million of them take no more room than the keyspaces that live between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemovedKeyspaces(Vec<(u64, u64)>);

impl RemovedKeyspaces {
    /// Whether this keyspace was removed.
    pub fn contains(&self, id: KeyspaceId) -> bool {
        let after = self.0.partition_point(|(start, _)| *start <= id.number());
        after > 0 && id.number() < self.0[after - 1].1
    }

    /// Whether all that the other lists are listed here.
    pub fn includes(&self, other: &Self) -> bool {
        other.0.iter().all(|(start, end)| {
            let after = self.0.partition_point(|(first, _)| first <= start);
            after > 0 && *end <= self.0[after - 1].1
        })
    }

    /// Ranges of ids: the first, and the one after the last.
    pub fn ranges(&self) -> &[(u64, u64)] {
        &self.0
    }

    /// No id from this one on was removed: the watermark.
    pub fn end(&self) -> u64 {
        self.0.last().map_or(0, |(_, end)| *end)
    }

    /// Adds an id; whether it is new.
    pub fn insert(&mut self, id: KeyspaceId) -> bool {
        if self.contains(id) {
            return false;
        }
        let (start, end) = (id.number(), id.number() + 1);
        let after = self.0.partition_point(|(first, _)| *first <= start);
        let touches_before = after > 0 && self.0[after - 1].1 == start;
        let touches_next = self.0.get(after).is_some_and(|(first, _)| *first == end);
        match (touches_before, touches_next) {
            (true, true) => self.0[after - 1].1 = self.0.remove(after).1,
            (true, false) => self.0[after - 1].1 = end,
            (false, true) => self.0[after].0 = start,
            (false, false) => self.0.insert(after, (start, end)),
        }
        true
    }

    /// Adds all that the other lists.
    pub fn extend(&mut self, other: &Self) {
        let mut all: Vec<_> = self.0.iter().chain(&other.0).copied().collect();
        all.sort_unstable();
        self.0.clear();
        for (start, end) in all {
            match self.0.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => self.0.push((start, end)),
            }
        }
    }

    /// As it travels.
    pub fn to_wire(&self) -> Vec<v1::IdRange> {
        self.0.iter().map(|(start, end)| v1::IdRange { start: *start, end: *end }).collect()
    }

    /// Reads what travelled.
    ///
    /// # Errors
    /// Ranges that are empty, not sorted, or touch each other; or `system` or `default` in one.
    pub fn from_wire(ranges: &[v1::IdRange]) -> Result<Self, Fault> {
        // One that ends where the next begins would be the same in another form.
        let mut least = KeyspaceId::DEFAULT.number() + 1;
        for v1::IdRange { start, end } in ranges {
            if *start < least || end <= start {
                return Err(Fault::invalid(format!(
                    "ids {start} to {end} of removed keyspaces are no range, or in the wrong place"
                )));
            }
            least = end.saturating_add(1);
        }
        Ok(Self(ranges.iter().map(|range| (range.start, range.end)).collect()))
    }
}

impl PartitionMap {
    /// Takes a keyspace out of the map for good, with its partitions; whether it was not yet. No
    /// program does so yet: tests make with it the maps that are merged.
    ///
    /// # Errors
    /// `system` and `default` are never removed.
    #[cfg(test)]
    pub(super) fn remove_keyspace(&mut self, id: KeyspaceId) -> Result<bool, Fault> {
        if id <= KeyspaceId::DEFAULT {
            return Err(Fault::invalid("keyspaces \"system\" and \"default\" are never removed"));
        }
        let removed = self.removed_keyspaces.insert(id);
        self.drop_removed();
        Ok(removed)
    }

    /// Lets go of what is of removed keyspaces.
    pub(super) fn drop_removed(&mut self) {
        let removed = &self.removed_keyspaces;
        self.keyspaces.retain(|keyspace| !removed.contains(keyspace.id));
        self.partitions.retain(|partition| !removed.contains(partition.keyspace));
    }
}

#[cfg(test)]
mod tests {
    use super::super::Keyspace;
    use super::super::testing::sample_with_catalog;
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn of(ids: impl IntoIterator<Item = u64>) -> RemovedKeyspaces {
        let mut removed = RemovedKeyspaces::default();
        for id in ids {
            removed.insert(KeyspaceId::new(id));
        }
        removed
    }

    fn sets() -> impl Strategy<Value = BTreeSet<u64>> {
        prop::collection::btree_set(2..40_u64, 0..30)
    }

    proptest! {
        #[test]
        fn ranges_hold_the_ids_that_were_put_in_and_no_others(ids in sets()) {
            let removed = of(ids.clone());
            for id in 0..45 {
                prop_assert_eq!(removed.contains(KeyspaceId::new(id)), ids.contains(&id));
            }
            prop_assert_eq!(RemovedKeyspaces::from_wire(&removed.to_wire()), Ok(removed));
        }

        #[test]
        fn both_together_are_the_union_whatever_the_order(one in sets(), other in sets()) {
            let mut both = of(one.clone());
            both.extend(&of(other.clone()));
            prop_assert!(both.includes(&of(one.clone())) && both.includes(&of(other.clone())));
            prop_assert_eq!(both, of(one.into_iter().chain(other)));
        }
    }

    #[test]
    fn a_million_keyspaces_made_and_removed_leave_a_small_map() {
        let mut map = sample_with_catalog(4);
        let before = map.to_wire();
        for id in 2..1_000_002 {
            let id = KeyspaceId::new(id);
            map.keyspaces.push(Keyspace { id, name: "tenant".into(), ..Keyspace::system() });
            map.remove_keyspace(id).unwrap();
        }
        map.validate_whole().unwrap();
        assert_eq!(map.removed_keyspaces.ranges(), [(2, 1_000_002)]);
        let size = |map: &v1::PartitionMap| prost::Message::encoded_len(map);
        assert!(size(&map.to_wire()) <= size(&before) + 16);
    }

    #[test]
    fn ranges_that_touch_or_hold_default_are_refused() {
        let range = |start, end| v1::IdRange { start, end };
        for wrong in [
            vec![range(1, 3)],
            vec![range(5, 5)],
            vec![range(5, 7), range(7, 9)],
            vec![range(8, 9), range(5, 6)],
        ] {
            assert!(RemovedKeyspaces::from_wire(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn system_and_default_are_never_removed() {
        let mut map = sample_with_catalog(1);
        for id in [KeyspaceId::SYSTEM, KeyspaceId::DEFAULT] {
            assert!(map.remove_keyspace(id).is_err());
        }
        map.validate_whole().unwrap();
    }
}
