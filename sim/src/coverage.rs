//! What a run really did: faults and mechanisms, counted by name.

use rustc_hash::FxHashMap;

/// Counts by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    counts: FxHashMap<String, u64>,
}

impl Coverage {
    /// Counts one.
    pub fn hit(&mut self, name: &str) {
        self.add(name, 1);
    }

    /// Counts several.
    pub fn add(&mut self, name: &str, count: u64) {
        match self.counts.get_mut(name) {
            Some(known) => *known += count,
            None => {
                self.counts.insert(name.to_owned(), count);
            }
        }
    }

    /// How often.
    pub fn get(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }

    /// All counts, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        let mut counts: Vec<_> = self.counts.iter().collect();
        counts.sort_unstable();
        counts.into_iter().map(|(name, count)| (name.as_str(), *count))
    }

    /// Adds another run's counts.
    pub fn merge(&mut self, other: &Coverage) {
        other.iter().for_each(|(name, count)| self.add(name, count));
    }

    /// Whether the run did enough to count: a thousand writes, a flush, a
    /// compaction and a recycled segment.
    pub fn counts(&self) -> bool {
        self.get("write acknowledged") >= 1_000
            && ["flush", "compaction", "segment retired"].iter().all(|name| self.get(name) > 0)
    }
}
