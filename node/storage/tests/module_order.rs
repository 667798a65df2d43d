//! The modules of a folder of this crate stand in layers, and each uses only those below it. The
//! folders themselves still use each other both ways: a table knows the cache that keeps its
//! blocks, and a tree the jobs that change it.

use doug_layers::assert_one_way;

const HERE: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn a_log_is_built_from_below() {
    assert_one_way(
        HERE,
        "src/log/mod.rs",
        &[
            "envelope", "segment", "mod", "index", "state", "scan", "reader", "writer", "retire",
            "recover",
        ],
    );
}

#[test]
fn a_manifest_is_built_from_below() {
    assert_one_way(HERE, "src/manifest/mod.rs", &["frame", "change", "state", "files", "writer"]);
}

#[test]
fn a_memtable_is_built_from_below() {
    assert_one_way(HERE, "src/memtable/mod.rs", &["arena", "entry", "mod"]);
}

#[test]
fn a_tree_is_built_from_below() {
    assert_one_way(
        HERE,
        "src/tree/mod.rs",
        &[
            "class",
            "interval",
            "options",
            "pins",
            "stats",
            "read_error",
            "edit",
            "context",
            "levels",
            "version",
            "change",
            "scan",
            "changes",
            "view",
            "flush",
            "snapshot",
            "writer",
        ],
    );
}

#[test]
fn a_compaction_is_built_from_below() {
    assert_one_way(
        HERE,
        "src/compaction/mod.rs",
        &["retention", "pick", "output", "sieve", "job", "reclaim"],
    );
}

#[test]
fn a_snapshot_is_built_from_below() {
    assert_one_way(
        HERE,
        "src/snapshot/mod.rs",
        &["mod", "names", "info", "partial", "source", "sending", "incoming", "outgoing"],
    );
}
