//! The modules of this crate stand in layers, and each uses only those below it.

#[test]
fn each_module_uses_only_those_below_it() {
    doug_layers::assert_one_way(
        env!("CARGO_MANIFEST_DIR"),
        "src/lib.rs",
        &[
            "metrics",
            "admission",
            // Where the map comes from.
            "map_source",
            "config",
            // From a request to the client.
            "router",
            "front",
            // What a port needs, and the whole.
            "http",
            "health",
            "server",
        ],
    );
}
