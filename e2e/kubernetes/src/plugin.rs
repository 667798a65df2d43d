//! `doug` on the machine of whoever looks after the database: `DOUG_BIN`, or what
//! `cargo build --release` made.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs it.
///
/// # Panics
/// When it was not built.
pub fn doug(arguments: &[&str]) -> Output {
    let built = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/release/doug");
    let program = std::env::var_os("DOUG_BIN").map_or_else(built, PathBuf::from);
    let output = Command::new(&program).args(arguments).output();
    output.unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}

/// Runs `kubectl doug`, as kubectl would; whether it exited with 0, and what it printed.
///
/// # Panics
/// When it was not built.
pub fn kubectl_doug(arguments: &[&str]) -> (bool, String) {
    let output = doug(&[&["kubectl"], arguments].concat());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}
