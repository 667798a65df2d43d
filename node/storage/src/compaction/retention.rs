//! Which versions a flush or a compaction carries over.

use crate::simulation::{Bug, has_bug};
use crate::tree::KeyClass;

/// Decides version by version, in internal order (newest first within a key).
///
/// Reads happen at revisions from `horizon` on. So of each key every version above the
/// horizon is kept, and the newest at or below it; whatever that one shadows is dropped.
/// A tombstone at or below the horizon is dropped too, but only when no older version
/// can lie beneath: without the tombstone that version would rise from the dead.
///
/// System keys are read at the newest revision only, so for them everything is below the
/// horizon. That is safe after a power loss: a job's output holds nothing newer than the
/// position it is published with or after.
pub(crate) struct Retention {
    horizon: u64,
    key: Vec<u8>,
    started: bool,
    /// A version at or below the horizon of this key was met.
    shadowed: bool,
}

impl Retention {
    pub(crate) fn new(horizon: u64) -> Self {
        Self { horizon, key: Vec::new(), started: false, shadowed: false }
    }

    /// Whether to keep this version; `beneath` says whether older versions of the key
    /// may lie below the output.
    pub(crate) fn keeps(
        &mut self,
        key: &[u8],
        revision: u64,
        tombstone: bool,
        beneath: impl FnOnce(&[u8]) -> bool,
    ) -> bool {
        if !self.started || self.key != key {
            self.started = true;
            self.key.clear();
            self.key.extend_from_slice(key);
            self.shadowed = false;
        }
        if revision > self.horizon && !KeyClass::System.holds(key) {
            return true;
        }
        if self.shadowed {
            return false;
        }
        self.shadowed = true;
        !tombstone || beneath(key) && !has_bug(Bug::TombstoneDroppedEarly)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds (key, revision, tombstone) and returns the revisions kept.
    fn kept(horizon: u64, beneath: bool, versions: &[(&str, u64, bool)]) -> Vec<u64> {
        let mut retention = Retention::new(horizon);
        versions
            .iter()
            .filter(|(key, revision, tombstone)| {
                let key = KeyClass::User.tree_key(key.as_bytes());
                retention.keeps(&key, *revision, *tombstone, |_| beneath)
            })
            .map(|(_, revision, _)| *revision)
            .collect()
    }

    #[test]
    fn the_newest_version_at_the_horizon_shadows_the_older_ones() {
        let versions = [("a", 9, false), ("a", 5, false), ("a", 3, false)];
        assert_eq!(kept(9, true, &versions), [9]);
        assert_eq!(kept(8, true, &versions), [9, 5]);
        assert_eq!(kept(2, true, &versions), [9, 5, 3]);
    }

    #[test]
    fn one_key_never_shadows_another() {
        let versions = [("a", 9, false), ("b", 5, false), ("c", 3, false)];
        assert_eq!(kept(10, true, &versions), [9, 5, 3]);
    }

    #[test]
    fn a_tombstone_goes_only_when_nothing_lies_beneath() {
        let versions = [("a", 9, true), ("a", 5, false)];
        assert_eq!(kept(9, true, &versions), [9]);
        assert_eq!(kept(9, false, &versions), [0u64; 0]);
    }

    #[test]
    fn of_a_system_key_only_the_newest_version_stays_whatever_the_horizon() {
        let key = KeyClass::System.tree_key(b"a");
        let mut retention = Retention::new(0);
        let mut keeps = |revision, tombstone, beneath: bool| {
            retention.keeps(&key, revision, tombstone, |_| beneath)
        };
        assert!(keeps(9, false, true));
        assert!(!keeps(5, false, true));
        let mut retention = Retention::new(0);
        assert!(!retention.keeps(&key, 9, true, |_| false), "a tombstone over nothing");
    }

    #[test]
    fn a_tombstone_above_the_horizon_stays() {
        let versions = [("a", 9, true), ("a", 5, false)];
        assert_eq!(kept(8, false, &versions), [9, 5]);
    }
}
