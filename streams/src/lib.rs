//! Standard output and standard error of every program of DougDB.
//!
//! Invariant: no write to a terminal, a pipe or a log panics, and no write to a
//! server's log blocks. `println!` and its kin do both, on a full disk and on a
//! pipe that nobody reads, so clippy.toml refuses them; these macros stand in.
//!
//! - [`outln!`] prints what was asked for. The first failure is remembered, the rest is
//!   skipped, and the command goes on: `main` decides by [`out::lost`].
//! - [`errln!`] prints what a person should know. A failure is nobody's concern.
//! - [`err::Lines`] takes the lines of the log. Servers call [`err::never_wait`] first;
//!   from then on lines are dropped and counted where the reader is slow or gone.
//! - [`exit`] ends the process after what is still queued was written.
#![deny(missing_docs)]
#![allow(clippy::disallowed_methods, reason = "this is what stands in for them")]

pub mod err;
pub mod out;
mod queue;
mod write;

use std::time::Duration;

/// How long the end of a process waits for its log, where nobody reads it.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Ends the process, after at most a second in which queued lines are written.
///
/// `std::process::exit` would lose them, and the last one says why the process ends.
pub fn exit(status: i32) -> ! {
    err::flush(LAST_WORDS);
    std::process::exit(status)
}

/// Like `print!`, without the panic.
#[macro_export]
macro_rules! out {
    ($($arguments:tt)*) => { $crate::out::print(format_args!($($arguments)*)) };
}

/// Like `println!`, without the panic.
#[macro_export]
macro_rules! outln {
    () => { $crate::out::print(format_args!("\n")) };
    ($format:literal $($arguments:tt)*) => {
        $crate::out::print(format_args!("{}\n", format_args!($format $($arguments)*)))
    };
}

/// Like `eprintln!`, without the panic; in a server without waiting either.
#[macro_export]
macro_rules! errln {
    () => { $crate::err::print(format_args!("\n")) };
    ($format:literal $($arguments:tt)*) => {
        $crate::err::print(format_args!("{}\n", format_args!($format $($arguments)*)))
    };
}
