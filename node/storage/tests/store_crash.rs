//! Power fails at every disk operation of a node's life: nothing acknowledged is lost,
//! no file is lost or left over.

mod store_support;

use std::collections::BTreeMap;
use std::path::PathBuf;

use doug_sim_disk::{Crash, Fault, SimDisk};
use doug_storage::log::{HardState, Record};
use doug_storage::snapshot::Sending;
use doug_storage::store::Opened;
use doug_storage::tree::Tree;
use doug_storage::{Applied, ReplicaKey, StorageError};
use store_support::*;

const SNAPSHOT: Applied = Applied { index: 1000, term: 9 };

/// What the caller was told, and what it had asked for.
#[derive(Default)]
struct Promises {
    created: bool,
    /// Greatest index acknowledged, and issued, by replica.
    acknowledged: BTreeMap<ReplicaKey, u64>,
    issued: BTreeMap<ReplicaKey, u64>,
    flushed: BTreeMap<ReplicaKey, u64>,
    term: (u64, u64),
    map: (u64, u64),
    snapshot: (bool, bool),
    removed: (bool, bool),
}

/// A node's life in which everything happens that writes to disk.
struct Life<'a> {
    promises: &'a mut Promises,
    opened: Opened,
    trees: BTreeMap<ReplicaKey, Tree>,
}

impl Life<'_> {
    fn tree(&mut self, key: ReplicaKey) -> &mut Tree {
        self.trees.get_mut(&key).expect("a living replica")
    }

    fn write(&mut self, key: ReplicaKey, index: u64) -> Result<(), StorageError> {
        self.opened.log.append(record(key, index))?;
        self.promises.issued.insert(key, index);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.opened.log.sync()?;
        self.promises.acknowledged = self.promises.issued.clone();
        self.promises.term.0 = self.promises.term.1;
        Ok(())
    }

    fn vote(&mut self, term: u64) -> Result<(), StorageError> {
        self.opened.log.append(Record::HardState { replica: A, term, vote: Some(term % 3) })?;
        self.promises.term.1 = term;
        Ok(())
    }

    fn flush(&mut self, key: ReplicaKey, index: u64) -> Result<(), StorageError> {
        let change = flush(self.tree(key), index, &format!("state at {index}"))?;
        let tree = self.trees.get_mut(&key).expect("a living replica");
        assert!(self.opened.store.commit(key, tree, change)?);
        self.promises.flushed.insert(key, index);
        self.opened.reader.set_floor(key, index);
        if let Some(change) = compaction(self.tree(key)) {
            let tree = self.trees.get_mut(&key).expect("a living replica");
            self.opened.store.commit(key, tree, change?)?;
        }
        while self.opened.log.maintain()? {}
        self.opened.store.delete_obsolete_files()?;
        Ok(())
    }

    fn set_map(&mut self, version: u64) -> Result<(), StorageError> {
        self.promises.map.1 = version;
        self.opened.store.change_map([map_entry(format!("{version:0100}"))])?;
        self.promises.map.0 = version;
        Ok(())
    }

    fn install_snapshot(&mut self) -> Result<(), StorageError> {
        let source = snapshot_source(SNAPSHOT);
        let mut incoming = self.opened.store.receive_snapshot(B, source.info().clone())?;
        let mut sending =
            Sending::new(source, incoming.lacking(), 200).expect("it has all of that");
        while let Some(chunk) = sending.next_chunk().expect("the source's disk works") {
            incoming.accept(&chunk)?;
        }
        let tables = self.opened.store.adopt_snapshot(&incoming)?;
        let state = incoming.info().state.clone();
        let change = self.tree(B).snapshot_change(tables, SNAPSHOT, state);
        self.promises.snapshot.1 = true;
        let tree = self.trees.get_mut(&B).expect("a living replica");
        assert!(self.opened.store.install_snapshot(B, tree, change)?);
        self.promises.snapshot.0 = true;
        incoming.delete()?;
        let Applied { index, term } = SNAPSHOT;
        self.opened.log.append(Record::Reset { replica: B, index, term })?;
        for issued in
            [&mut self.promises.issued, &mut self.promises.acknowledged, &mut self.promises.flushed]
        {
            issued.insert(B, index);
        }
        Ok(())
    }

    fn remove(&mut self) -> Result<(), StorageError> {
        self.promises.removed.1 = true;
        self.opened.store.remove_replica(C)?;
        self.promises.removed.0 = true;
        Ok(())
    }

    fn run(&mut self) -> Result<(), StorageError> {
        for i in 1..=36u64 {
            let b = if self.promises.snapshot.0 { SNAPSHOT.index + i - 20 } else { i };
            self.write(A, i)?;
            self.write(B, b)?;
            if i % 4 == 0 {
                self.vote(i)?;
            }
            self.sync()?;
            apply(A, self.tree(A), i);
            apply(B, self.tree(B), b);
            match i {
                6 | 12 | 18 | 30 => self.flush(A, i)?,
                9 => self.flush(B, b)?,
                15 => self.remove()?,
                20 => self.install_snapshot()?,
                33 => self.flush(B, b)?,
                _ if i % 2 == 1 => self.set_map(i)?,
                _ => {}
            }
        }
        Ok(())
    }
}

fn live(disk: &SimDisk, promises: &mut Promises) -> Result<(), StorageError> {
    let opened = try_open(disk)?;
    let keys = [A, B, C];
    let trees = opened.store.create_replicas(&keys.map(new_replica))?;
    promises.created = true;
    Life { promises, opened, trees: keys.into_iter().zip(trees).collect() }.run()
}

/// Opens the store after the crash and holds it to the promises.
fn check(disk: &SimDisk, promises: &Promises, context: &str) {
    let mut opened = try_open(disk).unwrap_or_else(|error| panic!("{context}: {error}"));
    if opened.replicas.is_empty() {
        assert!(!promises.created, "{context}: the replicas are gone");
        return;
    }
    let entry = opened.map.values().next();
    let map = entry.map_or(0, |m| String::from_utf8_lossy(m).parse().expect("a number"));
    assert!(map == promises.map.0 || map == promises.map.1, "{context}: map {map}");
    assert!(!promises.removed.0 || opened.removed.contains(&C), "{context}: C is back");
    assert!(promises.removed.1 || !opened.removed.contains(&C), "{context}: C is gone");
    let mut listed = 0;
    for key in [A, B] {
        listed += check_replica(&mut opened, promises, key, context);
    }
    let in_tree = |path: &&PathBuf| path.starts_with("/data/sst");
    assert_eq!(
        disk.contents().keys().filter(in_tree).count(),
        listed,
        "{context}: tables left over"
    );
    let manifests =
        disk.contents().keys().filter(|p| p.to_string_lossy().contains("MANIFEST")).count();
    assert_eq!(manifests, 1, "{context}: manifests left over");
}

/// Returns the number of its tables.
fn check_replica(
    opened: &mut Opened,
    promises: &Promises,
    key: ReplicaKey,
    context: &str,
) -> usize {
    let of = |map: &BTreeMap<ReplicaKey, u64>| map.get(&key).copied().unwrap_or(0);
    let found = replica(opened, key);
    let tree = found.tree.unwrap_or_else(|error| panic!("{context}: {key}: {error}"));
    let last = found.batches.last().map_or(found.applied.index, |b| b.last());
    assert!(
        found.applied.index >= of(&promises.flushed),
        "{context}: {key} applied {:?}",
        found.applied
    );
    if key == B && promises.snapshot.1 && found.applied.index >= SNAPSHOT.index {
        let contents = contents(&tree.view());
        assert_eq!(contents.values().filter(|v| *v == "snapshot").count(), 30, "{context}");
        assert!(
            promises.snapshot.0 && last >= of(&promises.acknowledged) || found.batches.is_empty(),
            "{context}"
        );
    } else {
        assert!(key == A || !promises.snapshot.0, "{context}: the snapshot is gone");
        assert!(
            (of(&promises.acknowledged)..=of(&promises.issued)).contains(&last),
            "{context}: {key} ends at {last}"
        );
        assert_eq!(contents(&tree.view()), expected(key, found.applied.index), "{context}: {key}");
        for (batch, index) in found.batches.iter().zip(found.applied.index + 1..) {
            let read = opened.reader.read(key, batch.base, batch.last()).expect("it is in the log");
            assert_eq!(read, [format!("{key} logs {index}")], "{context}");
        }
    }
    if key == A {
        let term = found.hard_state.map_or(0, |HardState { term, .. }| term);
        assert!(term == promises.term.0 || term == promises.term.1, "{context}: term {term}");
    }
    tree.image().tables.len()
}

#[test]
fn a_crash_at_every_disk_operation_keeps_what_was_acknowledged_and_leaves_no_file_behind() {
    let whole = SimDisk::new(0);
    let mut promises = Promises::default();
    live(&whole, &mut promises).expect("the disk works");
    check(&whole.fork(), &promises, "no crash");
    let operations = whole.operations();
    assert!(operations > 200, "{operations} operations");
    for at in 1..=operations {
        for (seed, crash) in [(1, Crash::LoseUnsynced), (2, Crash::KeepSome), (3, Crash::Process)] {
            let disk = SimDisk::new(at * 10 + seed);
            disk.fail_at(at, Fault::PowerLoss);
            let mut promises = Promises::default();
            let _ = live(&disk, &mut promises);
            disk.crash(crash);
            let context = format!("{crash:?} at operation {at}");
            check(&disk, &promises, &context);
            disk.crash(Crash::LoseUnsynced);
            check(&disk, &promises, &format!("{context}, opened again"));
        }
    }
}

#[test]
fn a_failing_disk_is_never_taken_for_a_working_one() {
    let whole = SimDisk::new(0);
    live(&whole, &mut Promises::default()).expect("the disk works");
    for at in 1..=whole.operations() {
        for fault in [Fault::Io, Fault::NoSpace] {
            let disk = SimDisk::new(at);
            disk.fail_at(at, fault);
            let mut promises = Promises::default();
            let _ = live(&disk, &mut promises);
            disk.crash(Crash::LoseUnsynced);
            check(&disk, &promises, &format!("{fault:?} at operation {at}"));
        }
    }
}
