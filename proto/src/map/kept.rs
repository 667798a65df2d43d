//! What newer programs have put into a map and this one does not understand. It is kept
//! when maps are merged and passed on as it came, or a node of an older version would
//! take away what newer ones have agreed on.

use super::PartitionMap;
use super::entry::{Entry, Kind};
use crate::error::Fault;
use crate::v1;
use bytes::Bytes;
use std::collections::BTreeMap;

/// Names an entry: what it is about, and its key.
type Name = (Kind, Bytes);

/// What of a map this program does not understand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Entries of known kinds with fields that are unknown.
    fields: BTreeMap<Name, KeptEntry>,
    /// Entries of unknown kinds, by kind and key.
    others: BTreeMap<(u32, Bytes), OtherEntry>,
}

/// One entry as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
struct KeptEntry {
    /// What this program makes of it. An entry that says something else by now was
    /// changed here, and what came is of no use any more.
    understood: Bytes,
    /// All of it.
    content: Bytes,
}

/// An entry of a kind that this program does not know: the greater version wins, and of
/// equal ones the greater content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct OtherEntry {
    version: u64,
    content: Bytes,
}

impl PartitionMap {
    /// All that an entry of this map says, unknown fields too.
    pub(super) fn content_of<T: Entry>(&self, entry: &T) -> Bytes {
        let understood = entry.encode();
        if self.kept.fields.is_empty() {
            return understood;
        }
        match self.kept.fields.get(&(T::KIND, entry.key())) {
            Some(kept) if kept.understood == understood => kept.content.clone(),
            _ => understood,
        }
    }

    /// Whether an entry of this map is the same in `other`, unknown fields too.
    pub(super) fn has_as<T: Entry>(&self, entry: &T, other: &PartitionMap, same: &T) -> bool {
        let nothing_kept = self.kept.fields.is_empty() && other.kept.fields.is_empty();
        entry == same && (nothing_kept || self.content_of(entry) == other.content_of(same))
    }

    /// Lets go of what belongs to entries that are not in the map any more, or say something else.
    pub(super) fn prune_kept(&mut self) {
        if self.kept.fields.is_empty() {
            return;
        }
        let mut of_use = BTreeMap::new();
        self.kept_of(&self.keyspaces, &mut of_use);
        self.kept_of(&self.clusters, &mut of_use);
        self.kept_of(&self.nodes, &mut of_use);
        self.kept_of(&self.partitions, &mut of_use);
        self.kept.fields = of_use;
    }

    fn kept_of<T: Entry>(&self, entries: &[T], of_use: &mut BTreeMap<Name, KeptEntry>) {
        for entry in entries {
            let name = (T::KIND, entry.key());
            if let Some(kept) = self.kept.fields.get(&name)
                && kept.understood == entry.encode()
            {
                of_use.insert(name, kept.clone());
            }
        }
    }

    /// The entries of kinds that this program does not know.
    pub(super) fn others(&self) -> impl Iterator<Item = v1::MapEntry> {
        self.kept.others.iter().map(|((kind, key), other)| v1::MapEntry {
            kind: *kind,
            key: key.clone(),
            version: other.version,
            content: other.content.clone(),
        })
    }
}

impl Kept {
    /// Remembers an entry as it came, if it holds more than this program makes of it.
    pub(super) fn note<T: Entry>(&mut self, entry: &T, content: &Bytes) {
        let understood = entry.encode();
        if understood != *content {
            let kept = KeptEntry { understood, content: content.clone() };
            self.fields.insert((T::KIND, entry.key()), kept);
        }
    }

    /// Takes over what another map keeps of an entry that this one takes over.
    pub(super) fn take<T: Entry>(&mut self, entry: &T, from: &Kept) {
        if self.fields.is_empty() && from.fields.is_empty() {
            return;
        }
        let name = (T::KIND, entry.key());
        match from.fields.get(&name) {
            Some(kept) => self.fields.insert(name, kept.clone()),
            None => self.fields.remove(&name),
        };
    }

    /// Takes in an entry of an unknown kind, if it is newer than the one known.
    ///
    /// # Errors
    /// The kind 0, which is none.
    pub(super) fn take_other(&mut self, entry: v1::MapEntry) -> Result<(), Fault> {
        if entry.kind == 0 {
            return Err(Fault::invalid("an entry of the map is of no kind"));
        }
        let v1::MapEntry { kind, key, version, content } = entry;
        let heard = OtherEntry { version, content };
        let known = self.others.entry((kind, key)).or_insert_with(|| heard.clone());
        if *known < heard {
            *known = heard;
        }
        Ok(())
    }

    /// Takes in the entries of unknown kinds that another map keeps, the newer ones.
    pub(super) fn take_others(&mut self, from: &Kept) {
        for (name, heard) in &from.others {
            let known = self.others.entry(name.clone()).or_insert_with(|| heard.clone());
            if *known < *heard {
                known.clone_from(heard);
            }
        }
    }

    /// Whether it has the entries of unknown kinds that another map keeps, or newer ones.
    pub(super) fn has_others_of(&self, from: &Kept) -> bool {
        let has = |(name, heard)| self.others.get(name).is_some_and(|known| known >= heard);
        from.others.iter().all(has)
    }
}
