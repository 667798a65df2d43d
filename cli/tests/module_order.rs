//! The modules of this program stand in layers, and each uses only those below it.

#[test]
fn each_module_uses_only_those_below_it() {
    doug_layers::assert_one_way(
        env!("CARGO_MANIFEST_DIR"),
        "src/main.rs",
        &[
            // What every command needs.
            "arenas",
            "panics",
            "exit",
            "units",
            "encoding",
            "given",
            "globals",
            "failure",
            "live",
            "grid",
            "aligned",
            // Commands, those that are made of others, and what the help of all looks like, and what
            // a shell offers for all.
            "demo",
            "kubectl",
            "commands",
            "help",
            "completion",
        ],
    );
}
