//! The modules of this crate stand in layers, and each uses only those below it.

#[test]
fn each_module_uses_only_those_below_it() {
    doug_layers::assert_one_way(
        env!("CARGO_MANIFEST_DIR"),
        "src/lib.rs",
        &[
            "descriptors",
            "gate",
            "listen",
            "keyspaces",
            "compact",
            // What is held of requests that are not whole.
            "frames",
            "received",
            // What is held of answers, and what takes them.
            "answers",
            "stall",
            "incoming",
            "body",
            "outbox",
            "grpc",
        ],
    );
}
