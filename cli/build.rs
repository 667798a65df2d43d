//! Compresses the line tables of the program, which panics and profilers read: it takes less than
//! half of the space, and starts as fast.

#![allow(clippy::disallowed_macros)] // cargo reads what it prints

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Linkers elsewhere know no such option.
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        println!("cargo:rustc-link-arg-bins=-Wl,--compress-debug-sections=zlib");
    }
}
