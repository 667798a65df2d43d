//! Power fails at every disk operation while replicas come and go: each is wholly there,
//! or wholly gone, and an id that was removed never returns.

mod store_support;

use std::collections::{BTreeMap, BTreeSet};

use doug_sim_disk::{Crash, Fault, SimDisk};
use doug_storage::manifest::Identity;
use doug_storage::tree::Tree;
use doug_storage::{ReplicaKey, Result};
use store_support::*;

const NODE: Identity = Identity { node: 7, database: Some(8) };
const AGAIN: ReplicaKey = ReplicaKey { partition: A.partition, replica: 12 };
/// Commands each replica logs, and how many of them are flushed.
const LOGGED: u64 = 12;
const FLUSHED: u64 = 9;

/// What was asked for, and what was answered.
#[derive(Default)]
struct Steps {
    joined: (bool, bool),
    created: Asked,
    fenced: Asked,
    removed: Asked,
    /// By replica: the greatest index acknowledged.
    acknowledged: BTreeMap<ReplicaKey, u64>,
}

#[derive(Default)]
struct Asked {
    asked: BTreeSet<ReplicaKey>,
    answered: BTreeSet<ReplicaKey>,
}

impl Asked {
    fn step(&mut self, key: ReplicaKey, does: impl FnOnce() -> Result<()>) -> Result<()> {
        self.asked.insert(key);
        does()?;
        self.answered.insert(key);
        Ok(())
    }

    /// Whether what was found may be, given what was asked and answered.
    fn allows(&self, key: ReplicaKey, found: bool) -> bool {
        if found { self.asked.contains(&key) } else { !self.answered.contains(&key) }
    }
}

fn live(disk: &SimDisk, steps: &mut Steps) -> Result<()> {
    let mut opened = try_open(disk)?;
    let store = opened.store.clone();
    steps.joined.0 = true;
    store.join(NODE, map_of("the map"))?;
    steps.joined.1 = true;
    let mut trees: BTreeMap<ReplicaKey, Tree> = BTreeMap::new();
    for (key, before) in [(A, None), (B, None), (AGAIN, Some(A)), (C, Some(B))] {
        if let Some(before) = before {
            if before == B {
                steps.fenced.step(B, || store.fence_replica(B, "a test says so"))?;
            }
            steps.removed.step(before, || store.remove_replica(before))?;
            trees.remove(&before);
            store.delete_obsolete_files()?;
        }
        steps.created.step(key, || {
            trees.insert(key, store.create_replica(&new_replica(key))?);
            Ok(())
        })?;
        let tree = trees.get_mut(&key).expect("just created");
        for i in 1..=LOGGED {
            opened.log.append(record(key, i))?;
            if i % 3 == 0 {
                opened.log.sync()?;
                steps.acknowledged.insert(key, i);
            }
            apply(key, tree, i);
            if i == FLUSHED {
                let change = flush(tree, i, "")?;
                store.commit(key, tree, change)?;
                opened.reader.set_floor(key, i);
            }
            while opened.log.maintain()? {}
        }
    }
    Ok(())
}

fn check(disk: &SimDisk, steps: &Steps, context: &str) {
    let opened = try_open(disk).unwrap_or_else(|error| panic!("{context}: {error}"));
    let joined = opened.identity.is_some();
    assert!(joined == steps.joined.0 || joined == steps.joined.1, "{context}: joined {joined}");
    assert_eq!(joined, !opened.map.is_empty(), "{context}: half a membership");
    let statuses = opened.store.replicas();
    for key in [A, B, AGAIN, C] {
        let removed = opened.removed.contains(&key);
        assert!(steps.removed.allows(key, removed), "{context}: {key} removed: {removed}");
        let here = statuses.contains_key(&key);
        assert!(!(here && removed), "{context}: {key} is there and removed");
        assert!(steps.created.allows(key, here || removed), "{context}: {key} here: {here}");
        let fenced = statuses.get(&key).is_some_and(Option::is_some);
        assert!(removed || steps.fenced.allows(key, fenced), "{context}: {key} fenced: {fenced}");
    }
    let mut listed = 0;
    for found in opened.replicas {
        let key = found.key;
        let Ok(tree) = found.tree else {
            assert!(found.batches.is_empty(), "{context}: {key} is fenced, and keeps the log");
            listed += 1;
            continue;
        };
        listed += tree.image().tables.len();
        assert_eq!(contents(&tree.view()), expected(key, found.applied.index), "{context}: {key}");
        let last = found.batches.last().map_or(found.applied.index, |batch| batch.last());
        let acknowledged = steps.acknowledged.get(&key).copied().unwrap_or(0);
        assert!(last >= acknowledged, "{context}: {key} ends at {last}, below {acknowledged}");
    }
    let tables =
        disk.contents().keys().filter(|path| path.extension().is_some_and(|e| e == "sst")).count();
    assert_eq!(tables, listed, "{context}: tables left over");
}

#[test]
fn a_crash_at_every_disk_operation_leaves_each_replica_wholly_there_or_wholly_gone() {
    let whole = SimDisk::new(0);
    let mut steps = Steps::default();
    live(&whole, &mut steps).expect("the disk works");
    check(&whole.fork(), &steps, "no crash");
    assert!(whole.operations() > 100, "{} operations", whole.operations());
    for at in 1..=whole.operations() {
        for (seed, crash) in [(1, Crash::LoseUnsynced), (2, Crash::KeepSome), (3, Crash::Process)] {
            let disk = SimDisk::new(at * 10 + seed);
            disk.fail_at(at, Fault::PowerLoss);
            let mut steps = Steps::default();
            let _ = live(&disk, &mut steps);
            disk.crash(crash);
            let context = format!("{crash:?} at operation {at}");
            check(&disk, &steps, &context);
            disk.crash(Crash::LoseUnsynced);
            check(&disk, &steps, &format!("{context}, opened again"));
        }
    }
}
