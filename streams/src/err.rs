//! Standard error: messages and the log.

use crate::queue::Queue;
use crate::write;
use std::fmt::Arguments;
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::time::Duration;

/// Bytes that may wait for a slow reader: some thousands of lines.
const WAITING: usize = 1 << 20;

static QUEUE: OnceLock<Queue> = OnceLock::new();

/// From now on nobody waits for standard error: lines go through a bounded queue to a
/// thread of their own, and are dropped and counted where it is full. For programs that
/// serve others, which must go on beside a full disk or a pipe that nobody reads.
///
/// # Errors
/// The thread cannot be started.
pub fn never_wait() -> io::Result<()> {
    if QUEUE.get().is_none() {
        let queue = Queue::start(io::stderr(), WAITING)?;
        // Somebody else was first: the thread of this queue ends with it.
        let _ = QUEUE.set(queue);
    }
    Ok(())
}

/// Lines that were not written since [`never_wait`].
pub fn dropped_lines() -> u64 {
    QUEUE.get().map_or(0, Queue::dropped_lines)
}

/// Whether a person looks at it.
pub fn is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Waits until what was printed so far is written or dropped, at most for `limit`.
pub fn flush(limit: Duration) {
    if let Some(queue) = QUEUE.get() {
        queue.flush(limit);
    }
}

/// Prints. Nothing can be said about a failure: this is where it would be said.
pub fn print(text: Arguments) {
    write(text.to_string().as_bytes());
}

/// Standard error as a writer that never fails. Give it whole lines.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write(lines: &[u8]) {
    match QUEUE.get() {
        Some(queue) => queue.push(lines),
        // Without the lock of `std::io::Stderr`: whoever holds it may be blocked.
        None => drop(write::all(&io::stderr(), lines)),
    }
}
