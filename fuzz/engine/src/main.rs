//! The engine: libFuzzer, on the target that `FUZZ_TARGET` names.
#![no_main]

use std::sync::LazyLock;

static RUN: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let found = doug_fuzz::target(&name);
    let names: Vec<_> = doug_fuzz::TARGETS.iter().map(|target| target.name).collect();
    found.unwrap_or_else(|| panic!("set FUZZ_TARGET to one of {}", names.join(", "))).run
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| RUN(data));
