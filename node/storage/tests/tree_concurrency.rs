//! Readers beside the writer, in real threads.

mod tree_support;

use std::sync::atomic::{AtomicBool, Ordering};

use doug_storage::tree::{ScanRange, TreeOptions};
use tree_support::{Keeper, get, keys, put};

const KEYS: [&str; 3] = ["first", "middle", "zlast"];

/// Every command writes its revision under all three keys, so a view that saw half of
/// one would find them differ.
#[test]
fn no_view_sees_half_of_a_command() {
    let mut keeper = Keeper::new(TreeOptions::tiny());
    let reader = keeper.tree.reader();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut newest = 0;
                while !done.load(Ordering::Relaxed) {
                    let view = reader.view();
                    let expected = match view.revision() {
                        0 => None,
                        revision => Some(revision.to_string()),
                    };
                    for key in KEYS {
                        assert_eq!(get(&view, key, None), expected);
                    }
                    let found = keys(&view, ScanRange::all(), None).len();
                    assert_eq!(found, if expected.is_some() { 3 } else { 0 });
                    assert!(view.revision() >= newest, "a reader went back in time");
                    newest = view.revision();
                }
            });
        }
        for revision in 1..=3000u64 {
            let value = revision.to_string();
            keeper.tree.apply(revision, &KEYS.map(|key| put(key, &value)));
            if revision % 100 == 0 {
                keeper.flush();
                keeper.compact();
                keeper.delete_obsolete();
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(reader.revision(), 3000);
}
