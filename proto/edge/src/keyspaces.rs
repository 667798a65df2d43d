//! How metrics name the keyspaces of what they count.

use parking_lot::RwLock;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Keyspaces with a label of their own. A database may have thousands, and each label is a
/// time series of every metric that carries it.
const LABELS: usize = 64;
/// The label of all further keyspaces. No keyspace has such a name.
const OTHER: &str = "(other)";
/// The label of what belongs to no keyspace that there is.
const NONE: &str = "(none)";

/// The labels of keyspaces: the first of which something is counted get one of their own.
#[derive(Debug, Default)]
pub struct KeyspaceLabels(RwLock<BTreeSet<Arc<str>>>);

impl KeyspaceLabels {
    /// The label of a keyspace that the map lists, by its name; `None` if what is counted
    /// belongs to none: names that callers make up get no label.
    pub fn of(&self, keyspace: Option<&str>) -> Arc<str> {
        let Some(name) = keyspace else { return NONE.into() };
        if let Some(known) = self.0.read().get(name) {
            return known.clone();
        }
        let mut labels = self.0.write();
        if labels.len() >= LABELS && !labels.contains(name) {
            return OTHER.into();
        }
        let label: Arc<str> = name.into();
        labels.insert(label.clone());
        label
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_keyspaces_there_are_their_labels_are_few() {
        let labels = KeyspaceLabels::default();
        let given: BTreeSet<_> =
            (0..10_000).map(|number| labels.of(Some(&format!("tenant-{number}")))).collect();
        assert_eq!(given.len(), LABELS + 1);
        assert_eq!(&*labels.of(Some("tenant-7")), "tenant-7");
        assert_eq!(&*labels.of(Some("tenant-9999")), OTHER);
        assert_eq!(&*labels.of(None), NONE);
    }
}
