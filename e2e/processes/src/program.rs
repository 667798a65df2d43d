//! The program under test.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The program: `DOUG_BIN`, or what `cargo build --release` made.
///
/// # Panics
/// When it is not there.
pub fn path() -> PathBuf {
    let built = || {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        target.unwrap_or_else(|| root.join("target")).join("release/doug")
    };
    let path = std::env::var_os("DOUG_BIN").map_or_else(built, PathBuf::from);
    let found = std::path::absolute(&path).ok().filter(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!("{} is not there: cargo build --release -p doug, or set DOUG_BIN", path.display())
    })
}

/// A command of the program that sees the demos of `folder` only: where none is
/// named, the one started last is found through the temporary folder.
pub fn command(folder: &Path) -> Command {
    among_demos_of(folder, Command::new(path()))
}

/// The same, in a process that may not have more than so many open files, whatever it asks for.
pub fn command_with_descriptors(folder: &Path, most: u64) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -n {most} && exec \"$0\" \"$@\"")]).arg(path());
    among_demos_of(folder, shell)
}

/// The same, where `volume`, a folder, is a volume of its own of so many MiB. Its processes alone
/// see what is on it; others through `/proc/PID/root`. Needs no root, but user namespaces.
pub fn command_on_volume(folder: &Path, volume: &Path, mebibytes: u64) -> Command {
    let mount = format!("mount -t tmpfs -o size={mebibytes}m none \"$0\" && exec \"$@\"");
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--mount", "sh", "-c", &mount]);
    unshare.arg(volume).arg(path());
    among_demos_of(folder, unshare)
}

fn among_demos_of(folder: &Path, mut command: Command) -> Command {
    command.env("TMPDIR", folder).env_remove("DOUG_ENDPOINT").stdin(Stdio::null());
    command
}

/// Runs a command to its end.
///
/// # Panics
/// When it cannot be started.
pub fn run<A: AsRef<OsStr>>(folder: &Path, arguments: impl IntoIterator<Item = A>) -> Output {
    command(folder).args(arguments).output().expect("the program starts")
}

/// What a command printed, errors after the rest.
pub fn printed(output: &Output) -> String {
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    text
}
