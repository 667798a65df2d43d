//! `WatchMap`: the whole map first, and from then on what changes.

use super::{Keyspace, PartitionMap};
use crate::error::Fault;
use crate::v1;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The side that tells: one for each call of `WatchMap`.
#[derive(Debug)]
pub struct MapTeller {
    /// Nothing is told before the epoch is greater.
    after: u64,
    /// Names of the keyspaces that are asked for; all if there are none.
    keyspaces: BTreeSet<String>,
    /// What the other side knows from here.
    told: Option<Arc<PartitionMap>>,
}

impl MapTeller {
    /// Tells what was asked for.
    pub fn new(request: v1::WatchMapRequest) -> Self {
        Self {
            after: request.after_epoch,
            keyspaces: request.keyspaces.into_iter().collect(),
            told: None,
        }
    }

    /// What to say now that the map is this one; `None` if the other side knows all of it.
    pub fn tell(&mut self, map: &Arc<PartitionMap>) -> Option<v1::WatchMapResponse> {
        if map.epoch <= self.told.as_ref().map_or(self.after, |told| told.epoch) {
            return None;
        }
        let map = self.asked_for(map);
        let answer = match &self.told {
            None => v1::WatchMapResponse { map: Some(map.to_wire()), changes: false },
            Some(told) => {
                v1::WatchMapResponse { map: Some(map.changed_since(told)), changes: true }
            }
        };
        self.told = Some(map);
        Some(answer)
    }

    fn asked_for(&self, map: &Arc<PartitionMap>) -> Arc<PartitionMap> {
        if self.keyspaces.is_empty() {
            return map.clone();
        }
        let mut part = PartitionMap::clone(map);
        part.keyspaces.retain(|Keyspace { name, .. }| self.keyspaces.contains(name));
        part.partitions.retain(|partition| {
            map.keyspace(partition.keyspace).is_some_and(|k| self.keyspaces.contains(&k.name))
        });
        Arc::new(part)
    }
}

/// The side that hears: what the messages of one call of `WatchMap` sum up to.
#[derive(Debug, Default)]
pub struct MapFollower {
    known: Option<PartitionMap>,
}

impl MapFollower {
    /// Takes in the next message. Returns the map, all of it that was asked for.
    ///
    /// # Errors
    /// No map, one that does not hold together, or changes of a map that was never told:
    /// watch anew.
    pub fn hear(&mut self, message: &v1::WatchMapResponse) -> Result<&PartitionMap, Fault> {
        let wire = message.map.as_ref().ok_or_else(|| Fault::invalid("it sent no map"))?;
        let map = if message.changes {
            let known = self.known.as_ref().ok_or_else(|| {
                Fault::invalid("it sent changes of a map, and no map before: watch it anew")
            })?;
            let changed = known.with_changes(wire)?.into_owned();
            PartitionMap { epoch: wire.epoch, ..changed }
        } else {
            PartitionMap::from_wire(wire)?
        };
        Ok(self.known.insert(map))
    }
}

#[cfg(test)]
mod tests {
    use super::super::merge::tests::maps;
    use super::super::testing::sample_with_catalog;
    use super::super::{KeyspaceId, Partition};
    use super::*;
    use proptest::prelude::*;

    fn asked(after_epoch: u64, keyspaces: &[&str]) -> MapTeller {
        let keyspaces = keyspaces.iter().map(|name| (*name).to_owned()).collect();
        MapTeller::new(v1::WatchMapRequest { after_epoch, keyspaces })
    }

    proptest! {
        #[test]
        fn whoever_follows_has_the_map_that_is_told(maps in prop::collection::vec(maps(), 1..6)) {
            let (mut teller, mut follower) = (asked(0, &[]), MapFollower::default());
            let mut map = maps[0].clone();
            for heard in &maps {
                map = map.merge(heard).unwrap_or(map);
                if let Some(message) = teller.tell(&Arc::new(map.clone())) {
                    let followed = follower.hear(&message).unwrap();
                    prop_assert_eq!(followed.digest(), map.digest());
                }
            }
        }
    }

    #[test]
    fn the_whole_map_comes_first_and_then_only_what_changed() {
        let mut map = sample_with_catalog(64);
        let mut teller = asked(0, &[]);
        let first = teller.tell(&Arc::new(map.clone())).unwrap();
        assert_eq!(first.map.unwrap().partitions.len(), 65);
        assert!(!first.changes);
        assert_eq!(teller.tell(&Arc::new(map.clone())), None, "nothing is new");
        map.partitions[7].generation = 2;
        map.epoch += 1;
        let second = teller.tell(&Arc::new(map)).unwrap();
        assert!(second.changes);
        let told = second.map.unwrap();
        assert_eq!((told.partitions.len(), told.nodes.len(), told.keyspaces.len()), (1, 0, 0));
    }

    #[test]
    fn nothing_comes_before_the_epoch_is_greater_than_the_one_given() {
        let mut map = sample_with_catalog(1);
        map.epoch = 5;
        let mut teller = asked(5, &[]);
        assert_eq!(teller.tell(&Arc::new(map.clone())), None);
        map.epoch = 6;
        assert!(teller.tell(&Arc::new(map)).is_some());
    }

    #[test]
    fn who_asks_for_one_keyspace_hears_of_no_partitions_of_others() {
        let mut map = sample_with_catalog(8);
        let (mut teller, mut follower) = (asked(0, &["system"]), MapFollower::default());
        let heard = follower.hear(&teller.tell(&Arc::new(map.clone())).unwrap()).unwrap();
        assert_eq!(heard.partitions, map.partitions[..1]);
        assert_eq!((heard.keyspaces.len(), heard.nodes.len()), (1, 1));
        map.partitions[0].generation = 3;
        map.partitions[5].generation = 3;
        map.epoch += 1;
        let told = teller.tell(&Arc::new(map.clone())).unwrap();
        assert_eq!(told.map.as_ref().unwrap().partitions.len(), 1);
        assert_eq!(follower.hear(&told).unwrap().partitions, map.partitions[..1]);
    }

    #[test]
    fn a_keyspace_that_is_asked_for_may_come_later() {
        let mut map = sample_with_catalog(1);
        let (mut teller, mut follower) = (asked(0, &["tenant"]), MapFollower::default());
        let heard = follower.hear(&teller.tell(&Arc::new(map.clone())).unwrap()).unwrap();
        assert!(heard.partitions.is_empty());
        let id = KeyspaceId::new(2);
        map.keyspaces.push(Keyspace { id, name: "tenant".into(), ..Keyspace::system() });
        map.partitions.push(Partition { id: 9, keyspace: id, ..map.partitions[0].clone() });
        map.epoch += 1;
        let heard = follower.hear(&teller.tell(&Arc::new(map)).unwrap()).unwrap();
        assert_eq!(heard.partitions_in(id).len(), 1);
    }

    #[test]
    fn a_keyspace_that_is_removed_leaves_the_map_of_whoever_follows() {
        let mut map = sample_with_catalog(1);
        let id = KeyspaceId::new(2);
        map.keyspaces.push(Keyspace { id, name: "tenant".into(), ..Keyspace::system() });
        map.partitions.push(Partition { id: 9, keyspace: id, ..map.partitions[0].clone() });
        let (mut teller, mut follower) = (asked(0, &[]), MapFollower::default());
        follower.hear(&teller.tell(&Arc::new(map.clone())).unwrap()).unwrap();
        map.remove_keyspace(id).unwrap();
        map.epoch += 1;
        let heard = follower.hear(&teller.tell(&Arc::new(map.clone())).unwrap()).unwrap();
        assert_eq!(*heard, map);
    }

    #[test]
    fn a_keyspace_that_is_divided_anew_is_told_with_all_its_partitions() {
        let mut map = sample_with_catalog(2);
        let (mut teller, mut follower) = (asked(0, &[]), MapFollower::default());
        follower.hear(&teller.tell(&Arc::new(map.clone())).unwrap()).unwrap();
        let half = map.partitions[2].clone();
        let middle = bytes::Bytes::from_static(&[0xc0]);
        map.partitions[2].end = middle.clone();
        map.partitions.push(Partition { id: 4, start: middle, ..half });
        map.epoch += 1;
        let heard = follower.hear(&teller.tell(&Arc::new(map.clone())).unwrap()).unwrap();
        assert_eq!(*heard, map);
    }

    #[test]
    fn changes_without_a_map_before_are_refused() {
        let wire = sample_with_catalog(1).to_wire();
        let message = v1::WatchMapResponse { map: Some(wire), changes: true };
        let refused = MapFollower::default().hear(&message).unwrap_err();
        assert!(refused.message.contains("watch it anew"), "{refused}");
    }
}
