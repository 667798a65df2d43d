//! Which partitions have something to do at the end of a turn.

/// Gathered in any order and more than once, taken each once and in order.
#[derive(Debug, Default)]
pub(super) struct DirtyPartitions(Vec<u64>);

impl DirtyPartitions {
    pub(super) fn insert(&mut self, partition: u64) {
        // Most turns are about one partition.
        if self.0.last() != Some(&partition) {
            self.0.push(partition);
        }
    }

    /// All so far, unless there are none.
    pub(super) fn take(&mut self) -> Option<Vec<u64>> {
        if self.0.is_empty() {
            return None;
        }
        let mut dirty = std::mem::take(&mut self.0);
        dirty.sort_unstable();
        dirty.dedup();
        Some(dirty)
    }

    /// Takes memory back for those to come.
    pub(super) fn reuse(&mut self, mut taken: Vec<u64>) {
        if self.0.is_empty() {
            taken.clear();
            self.0 = taken;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_taken_once_and_in_order() {
        let mut dirty = DirtyPartitions::default();
        [3, 3, 1, 2, 1].into_iter().for_each(|partition| dirty.insert(partition));
        let taken = dirty.take().unwrap();
        assert_eq!(taken, [1, 2, 3]);
        dirty.reuse(taken);
        assert_eq!(dirty.take(), None);
    }
}
