//! The modules of this crate stand in layers, and each uses only those below it.

#[test]
fn each_module_uses_only_those_below_it() {
    doug_layers::assert_one_way(
        env!("CARGO_MANIFEST_DIR"),
        "src/lib.rs",
        &[
            // Words and bounds that know nothing of a node.
            "levels",
            "budget",
            "watchdog",
            "volume",
            // What hosts and state machines exchange, and how it waits.
            "work",
            "flow",
            // Pure decisions: what a committed command does, and what a host does. Neither knows
            // the other.
            "apply",
            "membership",
            "host",
            // Both together.
            "replicas",
            "catalog",
            "background",
            "serving",
            "metrics",
            // What runs: shared parts, threads, and what others speak to.
            "config",
            "engine",
            "threads",
            "transport",
            "services",
            "start",
        ],
    );
}

#[test]
fn the_parts_that_all_share_know_nothing_of_what_runs() {
    doug_layers::assert_one_way(
        env!("CARGO_MANIFEST_DIR"),
        "src/engine/mod.rs",
        &[
            "random",
            "wake_ups",
            "clock",
            "fatal",
            "identity",
            "mailbox",
            "host_handle",
            "maps",
            "peers",
            "requests",
            "session_memory",
            "tasks",
            "parts",
            // What is asked of all parts together.
            "measured",
            "removal",
        ],
    );
}
