//! Deletes free room: tombstones sink though no level is full, and on a full volume tables are
//! written anew where they stand, without what newer tables hide.

mod tree_support;

use doug_storage::compaction::{Found, Surveyed};
use doug_storage::disk::Disk;
use doug_storage::tree::{ScanRange, TreeOptions};
use tree_support::*;

/// Values that do not compress away, in tables of 4 KiB.
fn options() -> TreeOptions {
    let mut options = TreeOptions::tiny();
    options.table.compression = doug_storage::table::Compression::None;
    options
}

const KEYS: u64 = 400;

fn key(i: u64) -> String {
    format!("key {i:05}")
}

/// A tree with every key, in several levels, of which the last revision is returned.
fn filled() -> (Keeper, u64) {
    let mut keeper = Keeper::new(options());
    for i in 0..KEYS {
        keeper.put(i + 1, &key(i), &"v".repeat(200));
        if i % 50 == 49 {
            keeper.flush();
            keeper.compact();
        }
    }
    keeper.delete_obsolete();
    (keeper, KEYS)
}

/// Deletes the keys whose number `chosen` accepts, and flushes.
fn delete_and_flush(keeper: &mut Keeper, mut revision: u64, chosen: impl Fn(u64) -> bool) -> u64 {
    for i in (0..KEYS).filter(|i| chosen(*i)) {
        revision += 1;
        keeper.delete(revision, &key(i));
    }
    keeper.flush();
    revision
}

/// Bytes of all files of tables.
fn on_disk(keeper: &Keeper) -> u64 {
    let files = keeper.files();
    let length = |name: &String| {
        let path = dir().join("sst").join(name);
        keeper.disk.open(&path, doug_storage::disk::OpenMode::Read).expect("exists").len()
    };
    files.iter().map(|name| length(name).expect("is measured")).sum()
}

/// Looks at one table after the other until one is worth writing anew.
fn survey(keeper: &mut Keeper, room: u64) -> Option<Found> {
    let mut looks = 0;
    while let Some(mut survey) = keeper.tree.survey(room) {
        looks += 1;
        assert!(looks < 1_000, "tables are looked at again and again");
        loop {
            match survey.step(100).expect("the disk works") {
                Surveyed::More(more) => survey = more,
                Surveyed::Worth(found) => return Some(*found),
                Surveyed::Vain => break,
            }
        }
    }
    None
}

/// Reclaims what can be reclaimed with so many bytes of room; returns how many tables it wrote
/// anew.
fn reclaim(keeper: &mut Keeper, room: u64) -> usize {
    let mut tables = 0;
    while let Some(found) = survey(keeper, room) {
        if found.needs() > room {
            found.put_off();
            continue;
        }
        let (before, needs) = (on_disk(keeper), found.needs());
        let mut job = found.begin().expect("the disk works");
        let change = finish(|| job.step(1 << 20));
        assert!(on_disk(keeper) <= before + needs, "it took more room than it said");
        drop(job);
        keeper.settle(change);
        keeper.delete_obsolete();
        tables += 1;
    }
    tables
}

#[test]
fn after_deletes_of_everything_tables_go_one_by_one_without_any_room() {
    let (mut keeper, revision) = filled();
    let before = on_disk(&keeper);
    delete_and_flush(&mut keeper, revision, |_| true);
    // No compaction finds room now.
    assert!(reclaim(&mut keeper, 0) > 10);
    assert!(on_disk(&keeper) < before / 20, "{} of {before} bytes", on_disk(&keeper));
    assert_eq!(keys(&keeper.tree.view(), ScanRange::all(), None), Vec::<String>::new());
    keeper.lose_power();
    assert_eq!(keys(&keeper.tree.view(), ScanRange::all(), None), Vec::<String>::new());
}

#[test]
fn what_was_not_deleted_stays_and_what_was_does_not_return() {
    let (mut keeper, revision) = filled();
    let before = on_disk(&keeper);
    delete_and_flush(&mut keeper, revision, |i| i % 4 != 0);
    reclaim(&mut keeper, 8 << 10);
    assert!(on_disk(&keeper) < before / 2, "{} of {before} bytes", on_disk(&keeper));
    let left: Vec<_> = (0..KEYS).filter(|i| i % 4 == 0).map(key).collect();
    assert_eq!(keys(&keeper.tree.view(), ScanRange::all(), None), left);
    keeper.compact();
    assert_eq!(keys(&keeper.tree.view(), ScanRange::all(), None), left);
}

#[test]
fn what_is_overwritten_is_reclaimed_like_what_is_deleted() {
    let (mut keeper, revision) = filled();
    let before = on_disk(&keeper);
    for i in 0..KEYS {
        keeper.put(revision + 1 + i, &key(i), "little");
    }
    keeper.flush();
    reclaim(&mut keeper, 0);
    assert!(on_disk(&keeper) < before / 4, "{} of {before} bytes", on_disk(&keeper));
    assert_eq!(keeper.get(&key(7)).as_deref(), Some("little"));
}

#[test]
fn a_revision_that_is_pinned_stays_readable() {
    let (mut keeper, revision) = filled();
    let pin = keeper.tree.reader().pin_newest();
    delete_and_flush(&mut keeper, revision, |_| true);
    reclaim(&mut keeper, 1 << 20);
    let found = get(&keeper.tree.view(), &key(3), Some(revision));
    assert_eq!(found, Some("v".repeat(200)));
    drop(pin);
    assert!(reclaim(&mut keeper, 0) > 10, "with the pin gone all of it goes");
}

#[test]
fn what_found_no_room_is_tried_again_once_there_is_some() {
    let (mut keeper, revision) = filled();
    // Of the second half nothing stays, of the first every other key.
    delete_and_flush(&mut keeper, revision, |i| i >= KEYS / 2 || i % 2 == 0);
    let found = survey(&mut keeper, 0).expect("most is deleted");
    found.put_off();
    assert!(survey(&mut keeper, 0).is_some(), "another table");
    reclaim(&mut keeper, 0);
    assert!(survey(&mut keeper, 0).is_none(), "none of the others fits");
    assert!(reclaim(&mut keeper, 8 << 10) > 0, "what stays of the first half");
}

#[test]
fn a_table_of_which_too_little_is_hidden_is_looked_at_once() {
    let (mut keeper, mut revision) = filled();
    revision = delete_and_flush(&mut keeper, revision, |i| i % 20 == 0);
    assert_eq!(reclaim(&mut keeper, 1 << 20), 0);
    assert!(keeper.tree.survey(1 << 20).is_none(), "nothing is new");
    delete_and_flush(&mut keeper, revision, |i| i % 20 != 0);
    assert!(reclaim(&mut keeper, 0) > 10);
}

#[test]
fn tombstones_go_all_the_way_down_though_no_level_is_full() {
    let (mut keeper, revision) = filled();
    let before = on_disk(&keeper);
    let mut revision = delete_and_flush(&mut keeper, revision, |_| true);
    // Further revisions, so that the deletes are no history any more.
    for _ in 0..20 {
        revision += 1;
        keeper.put(revision, "a", "b");
    }
    keeper.flush();
    keeper.compact();
    keeper.delete_obsolete();
    assert!(on_disk(&keeper) < before / 20, "{} of {before} bytes", on_disk(&keeper));
    assert!(keeper.entries() <= 20, "{} versions are left", keeper.entries());
}
