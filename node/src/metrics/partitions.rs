//! Figures of single partitions. Those of a partition that left this node leave with it: a gauge
//! that nobody sets any more would say for ever what once was, and alerts would rest on it.

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use std::collections::BTreeSet;

/// Which partition.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    partition: u64,
}

/// What is told of one partition.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Which.
    pub partition: u64,
    /// Bytes of its tables and memtables.
    pub bytes: u64,
    /// Bytes that compaction owes.
    pub compaction_debt: u64,
    /// The last index applied.
    pub applied: u64,
}

/// The metrics that have a label `partition`.
#[derive(Debug, Default)]
pub struct PartitionMetrics {
    bytes: Family<Labels, Gauge>,
    compaction_debt: Family<Labels, Gauge>,
    applied: Family<Labels, Gauge>,
    role_changes: Family<Labels, Counter>,
    /// Partitions of which anything is told.
    told: Mutex<BTreeSet<u64>>,
}

impl PartitionMetrics {
    /// Makes them known.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Changes of role, term or leader";
        registry.register("role_changes", help, self.role_changes.clone());
        registry.register("applied_index", "Last index applied", self.applied.clone());
        for (name, help, family) in [
            ("partition", "SSTables and memtables", &self.bytes),
            ("compaction_debt", "What compaction owes", &self.compaction_debt),
        ] {
            registry.register_with_unit(name, help, Unit::Bytes, family.clone());
        }
    }

    /// A replica's role changed.
    pub fn role_changed(&self, partition: u64) {
        self.told.lock().insert(partition);
        self.role_changes.get_or_create(&Labels { partition }).inc();
    }

    /// These partitions are here, and no others.
    pub fn tell(&self, here: impl IntoIterator<Item = Figures>) {
        let mut told = self.told.lock();
        let mut now = BTreeSet::new();
        for figures in here {
            let labels = Labels { partition: figures.partition };
            self.bytes.get_or_create(&labels).set(figures.bytes as i64);
            self.compaction_debt.get_or_create(&labels).set(figures.compaction_debt as i64);
            self.applied.get_or_create(&labels).set(figures.applied as i64);
            now.insert(figures.partition);
        }
        for partition in told.difference(&now).copied() {
            let labels = Labels { partition };
            for family in [&self.bytes, &self.compaction_debt, &self.applied] {
                family.remove(&labels);
            }
            self.role_changes.remove(&labels);
        }
        *told = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text::encode;

    fn figures(partition: u64) -> Figures {
        Figures { partition, bytes: 7, compaction_debt: 8, applied: 9 }
    }

    #[test]
    fn nothing_is_told_of_a_partition_that_left() {
        let (mut registry, metrics) = (Registry::default(), PartitionMetrics::default());
        metrics.register(&mut registry);
        [2, 3, 4].into_iter().for_each(|partition| metrics.role_changed(partition));
        metrics.tell([2, 3].map(figures));
        metrics.tell([figures(3)]);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let told = |partition: u64| text.matches(&format!("partition=\"{partition}\"")).count();
        assert_eq!([2, 3, 4].map(told), [0, 4, 0], "{text}");
    }
}
