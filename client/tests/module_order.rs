//! The modules of this crate stand in layers, and each uses only those below it.

use doug_layers::assert_one_way;

const HERE: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn each_module_uses_only_those_below_it() {
    assert_one_way(
        HERE,
        "src/lib.rs",
        &[
            "simulation",
            "options",
            "transaction",
            // What a client lives on, and what all of its parts share.
            "jitter",
            "runtime",
            "dial",
            "transport",
            "settings",
            // From one stream to all partitions.
            "connection",
            "sessions",
            "map",
            // One operation, a page of many partitions, and the whole.
            "engine",
            "scan",
            "watch",
            "client",
            "builder",
            // Another service, and what is made of its calls.
            "admin",
            "create",
        ],
    );
}

#[test]
fn the_map_and_scans_are_built_from_below_too() {
    assert_one_way(HERE, "src/map/mod.rs", &["group", "table", "known", "watch"]);
    assert_one_way(HERE, "src/scan/mod.rs", &["bounds", "merge", "page", "stream"]);
}
