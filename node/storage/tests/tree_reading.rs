//! What reads and scans of a tree find, in its memtables, tables and levels alike, one behaviour a
//! test.

mod tree_support;

use bytes::Bytes;
use doug_storage::tree::{KeyClass, Op, ReadError, ScanRange};
use tree_support::{
    Keeper, delete, forgetful, get, keys, put, range, system, system_keys, three_generations,
};

#[test]
fn a_value_is_read_back_from_memtable_table_and_deeper_levels() {
    let mut keeper = Keeper::new(forgetful());
    keeper.put(1, "a", "one");
    assert_eq!(keeper.get("a").as_deref(), Some("one"));
    keeper.rotate();
    assert_eq!(keeper.get("a").as_deref(), Some("one"));
    keeper.flush();
    assert_eq!(keeper.get("a").as_deref(), Some("one"));
    keeper.put(2, "b", "two");
    keeper.flush();
    keeper.compact();
    assert_eq!(keeper.tree.level_stats()[0].tables, 0);
    assert_eq!(keeper.get("a").as_deref(), Some("one"));
    assert_eq!(keeper.get("c"), None);
}

#[test]
fn an_empty_value_is_not_a_missing_key() {
    let mut keeper = Keeper::new(forgetful());
    keeper.put(1, "a", "");
    assert_eq!(keeper.get("a").as_deref(), Some(""));
    keeper.flush();
    assert_eq!(keeper.get("a").as_deref(), Some(""));
    assert_eq!(keeper.get("b"), None);
}

#[test]
fn a_read_names_the_revision_that_wrote_the_value() {
    let mut keeper = Keeper::new(forgetful());
    keeper.put(7, "a", "x");
    keeper.put(9, "b", "y");
    let found = keeper.tree.view().get(b"a", None).unwrap().unwrap();
    assert_eq!((found.revision, &found.value[..]), (7, &b"x"[..]));
    assert_eq!(keeper.tree.view().revision(), 9);
}

#[test]
fn of_two_changes_of_a_key_in_one_command_the_later_holds() {
    let mut keeper = Keeper::new(forgetful());
    keeper.tree.apply(1, &[put("a", "first"), put("a", "second"), put("b", "x")]);
    keeper.tree.apply(2, &[put("b", "y"), delete("b")]);
    for _ in 0..2 {
        assert_eq!(keeper.get("a").as_deref(), Some("second"));
        assert_eq!(keeper.get("b"), None);
        keeper.flush();
    }
}

#[test]
fn a_command_without_changes_moves_the_revision_on() {
    let mut keeper = Keeper::new(forgetful());
    keeper.tree.apply(4, &[]);
    assert_eq!(keeper.tree.reader().revision(), 4);
}

#[test]
#[should_panic(expected = "revision 3 is applied after revision 3")]
fn a_revision_is_never_applied_twice() {
    let mut keeper = Keeper::new(forgetful());
    keeper.put(3, "a", "x");
    keeper.put(3, "a", "x");
}

#[test]
fn a_view_does_not_see_what_is_applied_after_it() {
    let mut keeper = Keeper::new(forgetful());
    keeper.put(1, "a", "old");
    let before = keeper.tree.view();
    keeper.tree.apply(2, &[put("a", "new"), put("b", "new")]);
    keeper.rotate();
    keeper.put(3, "c", "newer");
    assert_eq!(get(&before, "a", None).as_deref(), Some("old"));
    assert_eq!(keys(&before, ScanRange::all(), None), ["a"]);
    assert_eq!(before.revision(), 1);
    assert_eq!(keys(&keeper.tree.view(), ScanRange::all(), None), ["a", "b", "c"]);
}

#[test]
fn a_view_reads_on_while_its_files_are_compacted_away() {
    let mut keeper = Keeper::new(forgetful());
    three_generations(&mut keeper);
    let old = keeper.tree.view();
    let expected = tree_support::scan(&old, ScanRange::all(), None);
    let files = keeper.files();

    keeper.put(1000, "k00", "later");
    keeper.flush();
    keeper.compact();
    keeper.delete_obsolete();
    assert!(files.iter().all(|file| keeper.files().contains(file)));
    assert_eq!(tree_support::scan(&old, ScanRange::all(), None), expected);

    drop(old);
    assert_eq!(keeper.delete_obsolete(), files.len());
    assert!(files.iter().all(|file| !keeper.files().contains(file)));
    assert_eq!(keeper.get("k00").as_deref(), Some("later"));
}

#[test]
fn a_revision_not_yet_applied_can_be_neither_read_nor_pinned() {
    let mut keeper = Keeper::new(forgetful());
    keeper.put(5, "a", "x");
    let ahead = keeper.tree.view().get(b"a", Some(6));
    assert!(matches!(ahead, Err(ReadError::RevisionAhead { at: 6, newest: 5 })));
    assert!(keeper.tree.reader().pin(6).is_err());
}

#[test]
fn a_tombstone_hides_older_versions_in_every_level() {
    let mut keeper = Keeper::new(forgetful());
    three_generations(&mut keeper);
    keeper.compact();
    keeper.delete(100, "k05");
    for _ in 0..3 {
        assert_eq!(keeper.get("k05"), None);
        let view = keeper.tree.view();
        assert!(!keys(&view, ScanRange::all(), None).contains(&"k05".into()));
        assert!(!keys(&view, range("", None, true), None).contains(&"k05".into()));
        keeper.flush();
    }
}

#[test]
fn scans_are_ordered_and_bounded_in_both_directions() {
    let mut keeper = Keeper::new(forgetful());
    for (revision, key) in ["d", "a", "c", "b", "e"].iter().enumerate() {
        keeper.put(revision as u64 + 1, key, "x");
        keeper.flush();
    }
    let view = keeper.tree.view();
    assert_eq!(keys(&view, range("b", Some("e"), false), None), ["b", "c", "d"]);
    assert_eq!(keys(&view, range("b", Some("e"), true), None), ["d", "c", "b"]);
    assert_eq!(keys(&view, range("bb", None, true), None), ["e", "d", "c"]);
    assert_eq!(keys(&view, range("x", Some("b"), false), None), [""; 0]);
    assert_eq!(keys(&view, range("b", Some("b"), true), None), [""; 0]);
}

#[test]
fn the_greatest_keys_and_values_pass_through_every_level() {
    let mut keeper = Keeper::new(forgetful());
    let keys: Vec<Bytes> = (0..4u8).map(|i| vec![i; 4096].into()).collect();
    let value = Bytes::from(vec![7; 1 << 20]);
    for (i, key) in keys.iter().enumerate() {
        let op = Op::put(KeyClass::User, key.clone(), value.clone());
        keeper.tree.apply(i as u64 + 1, &[op]);
        keeper.flush();
    }
    keeper.compact();
    for key in &keys {
        let found = keeper.tree.view().get(key, None).unwrap().unwrap();
        assert_eq!(found.value, value);
    }
}

#[test]
fn system_keys_and_user_keys_never_meet() {
    let mut keeper = Keeper::new(forgetful());
    keeper.tree.apply(1, &[system("a", "ours"), put("a", "theirs"), system("z", "last")]);
    for _ in 0..2 {
        let view = keeper.tree.view();
        assert_eq!(keeper.get("a").as_deref(), Some("theirs"));
        assert_eq!(keeper.get("z"), None);
        assert_eq!(view.get_system(b"a").unwrap().unwrap().value, "ours");
        for reverse in [false, true] {
            assert_eq!(keys(&view, range("", None, reverse), None), ["a"]);
        }
        let all = [("a", "ours"), ("z", "last")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(system_keys(&keeper), all);
        keeper.flush();
    }
}

#[test]
fn what_was_written_after_a_revision_is_found_in_memtables_and_tables_alike() {
    let mut keeper = Keeper::keeping(10, forgetful());
    keeper.put(1, "a", "one");
    keeper.tree.apply(2, &[put("b", "x"), put("c", "x")]);
    keeper.tree.apply(3, &[delete("b")]);
    keeper.put(4, "a", "four");
    let found = |keeper: &Keeper, range: &ScanRange, after, through| {
        let view = keeper.tree.view();
        let changes = view.changes(range, after, through).unwrap().map(Result::unwrap);
        let shown = changes.map(|written| {
            let value = written.value.map(|value| String::from_utf8_lossy(&value).into_owned());
            format!("{} {:?} {value:?}", written.revision, written.key)
        });
        shown.collect::<Vec<_>>()
    };
    for _ in 0..2 {
        let all = found(&keeper, &ScanRange::all(), 1, 4);
        let expected = [
            r#"4 b"a" Some("four")"#,
            r#"3 b"b" None"#,
            r#"2 b"b" Some("x")"#,
            r#"2 b"c" Some("x")"#,
        ];
        assert_eq!(all, expected);
        assert_eq!(found(&keeper, &range("b", Some("c"), false), 2, 3), [r#"3 b"b" None"#]);
        assert_eq!(found(&keeper, &range("a", Some("b"), false), 4, 4), [""; 0]);
        keeper.flush();
    }
}

#[test]
fn what_was_written_below_the_floor_is_not_told_in_part() {
    let mut keeper = Keeper::keeping(1, forgetful());
    keeper.put(1, "a", "one");
    keeper.put(2, "a", "two");
    keeper.put(3, "a", "three");
    keeper.flush();
    let view = keeper.tree.view();
    let below = view.changes(&ScanRange::all(), 1, 3).map(drop);
    assert!(matches!(below, Err(ReadError::RevisionGone { floor: 2, .. })), "{below:?}");
    assert_eq!(view.changes(&ScanRange::all(), 2, 3).unwrap().count(), 1);
}
