//! The modules of this crate stand in layers, and each uses only those below it.

#[test]
fn each_module_uses_only_those_below_it() {
    doug_layers::assert_one_way(
        env!("CARGO_MANIFEST_DIR"),
        "src/lib.rs",
        &[
            // `v1`, which is generated, and the version.
            "lib",
            "ids",
            "instant",
            "address",
            "quote",
            "volume",
            "clock_offset",
            "status",
            // What is answered when something is wrong, and who asks.
            "error",
            "access",
            "limits",
            "transaction",
            "deadline",
            "oversize",
            // Where a key is.
            "routing",
            "map",
            "together",
            "token",
        ],
    );
}
