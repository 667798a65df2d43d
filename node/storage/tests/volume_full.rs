//! Tables that find no room on the volume: nothing is lost, and the next try writes them.

mod store_support;

use bytes::Bytes;
use doug_sim_disk::{Crash, Fault, SimDisk};
use doug_storage::store::Opened;
use doug_storage::tree::{Progress, Tree, TreeChange};
use doug_storage::{Applied, Result};
use store_support::*;

/// A replica with eight commands in its memtable and in the log.
fn filled(disk: &SimDisk) -> (Opened, Tree) {
    let (mut opened, mut tree, _) = initialised(disk);
    for index in 1..=8 {
        opened.log.append(record(A, index)).expect("there is room");
        apply(A, &mut tree, index);
    }
    opened.log.sync().expect("the disk works");
    tree.rotate(Applied { index: 8, term: 1 }, Bytes::from_static(b"eight"), &[]);
    (opened, tree)
}

/// Flushes what is frozen, as often as it is asked.
fn flush_again(tree: &mut Tree) -> Result<TreeChange> {
    let mut job = tree.flush_job().expect("something is frozen and no job is under way");
    loop {
        if let Progress::Done(change) = job.step(300)? {
            return Ok(change);
        }
    }
}

fn tables(disk: &SimDisk) -> usize {
    disk.contents().keys().filter(|path| path.extension().is_some_and(|e| e == "sst")).count()
}

#[test]
fn a_flush_without_room_leaves_nothing_behind_and_is_done_later() {
    let whole = SimDisk::new(1);
    let (_, mut tree) = filled(&whole);
    let before = whole.operations();
    flush_again(&mut tree).expect("the disk works");
    let needed = whole.operations() - before;
    let mut refused = 0;
    for at in 1..=needed {
        let disk = SimDisk::new(1);
        let (opened, mut tree) = filled(&disk);
        disk.fail_at(disk.operations() + at, Fault::NoSpace);
        match flush_again(&mut tree) {
            // A sync that fails is another matter: nothing may be tried after it.
            Err(error) if error.is_fatal() => continue,
            Err(error) => assert!(error.is_no_room(), "{error}"),
            Ok(_) => continue,
        }
        refused += 1;
        opened.store.delete_obsolete_files().expect("deleting needs no room");
        assert_eq!(tables(&disk), 0, "the failed try left a table behind");
        assert_eq!(contents(&tree.reader().view()), expected(A, 8), "reads go on");
        let change = flush_again(&mut tree).expect("there is room again");
        assert!(opened.store.commit(A, &mut tree, change).expect("the disk works"));
        drop((opened, tree));
        disk.crash(Crash::LoseUnsynced);
        let found = replica(&mut open(&disk), A);
        assert_eq!(found.applied.index, 8);
        let tree = found.tree.expect("sound tables");
        assert_eq!(contents(&tree.reader().view()), expected(A, 8));
    }
    assert!(refused > 0, "no operation of {needed} was refused for want of room");
}

/// A reservation gives back what was not written: what is not counted is promised twice.
#[test]
fn a_job_counts_what_it_has_written_to_the_last_byte() {
    let disk = SimDisk::new(1);
    let (opened, mut tree) = filled(&disk);
    let on_disk = || -> u64 {
        let contents = disk.contents();
        let tables = contents.iter().filter(|(p, _)| p.extension().is_some_and(|e| e == "sst"));
        tables.map(|(_, bytes)| bytes.len() as u64).sum()
    };
    let mut job = tree.flush_job().expect("something is frozen");
    let change = loop {
        if let Progress::Done(change) = job.step(300).expect("the disk works") {
            break change;
        }
    };
    assert_eq!(job.written(), on_disk());
    assert!(opened.store.commit(A, &mut tree, change).expect("the disk works"));
}
