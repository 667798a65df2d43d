//! The sum of all edits.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{Change, Identity, MapChange};
use crate::tree::TreeImage;
use crate::{Applied, ReplicaKey};

/// What each entry of the partition map says, by its key; both are opaque here.
pub type MapEntries = BTreeMap<Bytes, Bytes>;

/// A living replica.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicaRecord {
    /// The last command that its tables hold.
    pub applied: Applied,
    /// The state block after that command, opaque.
    pub state: Bytes,
    /// Its tables.
    pub image: TreeImage,
    /// What is damaged, if its files were ever found so: it must be replaced from its peers.
    pub fenced: Option<String>,
    /// Batches that it acknowledged may be missing at the end of its log.
    pub ambiguous_tail: bool,
}

/// What a node knows of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManifestState {
    /// Whose volume this is, once told.
    pub identity: Option<Identity>,
    /// The newest partition map, entry by entry; empty before there is one.
    pub map: MapEntries,
    /// The creation document, opaque.
    pub creation: Option<Bytes>,
    /// The replicas that live here.
    pub live: BTreeMap<ReplicaKey, ReplicaRecord>,
    /// The replicas that were removed, for ever.
    pub removed: BTreeSet<ReplicaKey>,
    /// File ids below this one may be in use.
    pub next_file: u64,
}

impl ManifestState {
    /// Applies one change, or says why it does not fit and changes nothing.
    pub(super) fn apply(&mut self, change: &Change) -> Result<(), String> {
        match change {
            Change::Identity(identity) => self.identity = Some(*identity),
            Change::Map(MapChange { key, content: Some(content) }) => {
                self.map.insert(key.clone(), content.clone());
            }
            Change::Map(MapChange { key, content: None }) => {
                self.map.remove(key);
            }
            Change::Creation(creation) => self.creation = Some(creation.clone()),
            Change::Create { replica, applied, state } => {
                self.check_new(*replica)?;
                let record = ReplicaRecord {
                    applied: *applied,
                    state: state.clone(),
                    ..ReplicaRecord::default()
                };
                self.live.insert(*replica, record);
            }
            // One that was never here leaves a tombstone too: its creation may still be on its way.
            Change::Remove(replica) => {
                self.live.remove(replica);
                self.removed.insert(*replica);
            }
            Change::Fence { replica, why } => {
                self.record(*replica)?.fenced.get_or_insert(why.clone());
            }
            Change::AmbiguousTail { replica, ambiguous } => {
                self.record(*replica)?.ambiguous_tail = *ambiguous;
            }
            Change::Publish { replica, applied, state, tree } => {
                let record = self.record(*replica)?;
                check_rises(*replica, record.applied, *applied)?;
                record.image.apply(tree)?;
                (record.applied, record.state) = (*applied, state.clone());
            }
            Change::Compact { replica, tree } => {
                let record = self.record(*replica)?;
                record.image.apply(tree)?;
            }
            Change::NextFile(id) => self.next_file = self.next_file.max(*id),
        }
        Ok(())
    }

    /// A replica id is used once: whoever comes back under it may have forgotten a vote.
    pub(super) fn check_new(&self, replica: ReplicaKey) -> Result<(), String> {
        if self.removed.contains(&replica) {
            return Err(format!(
                "replica {replica} was removed from this node, its id must not be used again"
            ));
        }
        if self.live.contains_key(&replica) {
            return Err(format!("replica {replica} exists already"));
        }
        Ok(())
    }

    pub(super) fn check_sound(&self, replica: ReplicaKey) -> crate::Result<()> {
        match self.live.get(&replica).and_then(|record| record.fenced.clone()) {
            Some(why) => Err(crate::StorageError::Fenced { replica, why }),
            None => Ok(()),
        }
    }

    /// The replica of a partition on this node, sound or fenced.
    pub fn replica_of(&self, partition: u64) -> Option<ReplicaKey> {
        let from = ReplicaKey { partition, replica: 0 };
        let (key, _) = self.live.range(from..).next()?;
        (key.partition == partition).then_some(*key)
    }

    fn record(&mut self, replica: ReplicaKey) -> Result<&mut ReplicaRecord, String> {
        self.live
            .get_mut(&replica)
            .ok_or_else(|| format!("replica {replica} does not exist on this node"))
    }

    /// The changes that make this state from nothing.
    pub(super) fn to_changes(&self) -> Vec<Change> {
        let mut changes = vec![Change::NextFile(self.next_file)];
        changes.extend(self.identity.map(Change::Identity));
        let entries = self.map.iter();
        changes.extend(
            entries.map(|(key, content)| Change::Map(MapChange::set(key.clone(), content.clone()))),
        );
        changes.extend(self.creation.clone().map(Change::Creation));
        for (&replica, record) in &self.live {
            let (applied, state) = (record.applied, record.state.clone());
            changes.push(Change::Create { replica, applied, state });
            let tree = record.image.to_edit();
            changes.push(Change::Compact { replica, tree });
            changes.extend(record.fenced.clone().map(|why| Change::Fence { replica, why }));
            if record.ambiguous_tail {
                changes.push(Change::AmbiguousTail { replica, ambiguous: true });
            }
        }
        changes.extend(self.removed.iter().copied().map(Change::Remove));
        changes
    }
}

fn check_rises(replica: ReplicaKey, from: Applied, to: Applied) -> Result<(), String> {
    if to.index < from.index {
        return Err(format!(
            "the applied index of replica {replica} would fall from {} to {}",
            from.index, to.index
        ));
    }
    Ok(())
}
