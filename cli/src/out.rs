//! Printing to standard output, where the reader may go away (`doug scan | head`).

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};

/// Prints, and ends the program quietly if nobody reads any more.
pub fn print(text: Arguments) {
    let Err(error) = std::io::stdout().write_fmt(text) else { return };
    if error.kind() == ErrorKind::BrokenPipe {
        std::process::exit(0);
    }
    eprintln!("doug: cannot write to standard output: {error}");
    std::process::exit(1);
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
    ($($arguments:tt)*) => {{
        $crate::out::print(format_args!($($arguments)*));
        $crate::out::print(format_args!("\n"));
    }};
}
