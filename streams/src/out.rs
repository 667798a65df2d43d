//! Standard output: what was asked for.

use crate::write;
use parking_lot::Mutex;
use std::fmt::Arguments;
use std::io::{self, IsTerminal, Write};

/// Why standard output takes no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Its reader has gone (`doug scan | head`): it has what it wanted.
    ReaderGone,
    /// It cannot be written, for instance because a disk is full.
    Failed(io::ErrorKind, Option<i32>),
}

impl Lost {
    fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ReaderGone,
            kind => Self::Failed(kind, error.raw_os_error()),
        }
    }
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let why = match self {
            Self::ReaderGone => "nobody reads it any more".to_owned(),
            Self::Failed(_, Some(code)) => io::Error::from_raw_os_error(*code).to_string(),
            Self::Failed(kind, None) => kind.to_string(),
        };
        write!(f, "cannot write to standard output: {why}")
    }
}

impl std::error::Error for Lost {}

static LOST: Mutex<Option<Lost>> = Mutex::new(None);

/// Why standard output takes no more; none while all was written.
pub fn lost() -> Option<Lost> {
    *LOST.lock()
}

/// Whether an error is, or wraps, one of [`Writer`]. One of a socket is not, although
/// its kind may be the same.
pub fn is_lost(error: &(dyn std::error::Error + 'static)) -> bool {
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    inner.is_some_and(|inner| inner.is::<Lost>())
}

/// Whether a person looks at it.
pub fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Rows and columns of the terminal; none where it is none.
pub fn size() -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    let known = size.ws_row > 0 && size.ws_col > 0;
    known.then(|| (usize::from(size.ws_row), usize::from(size.ws_col)))
}

/// Columns of the terminal; none where it is none, so that nothing is cut in a file.
pub fn columns() -> Option<usize> {
    size().map(|(_, columns)| columns)
}

/// Prints. Where that fails, [`lost`] says so, and what is printed later is skipped: a
/// command that acts must not stop half-way because nobody watches.
pub fn print(text: Arguments) {
    let _ = Writer.write_all(text.to_string().as_bytes());
}

/// Standard output for commands whose output is all they do: they stop at an error.
/// Not buffered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Writer;

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Held while writing, so that lines of two threads do not mix.
        let mut lost = LOST.lock();
        if lost.is_none()
            && let Err((_, error)) = write::all(&io::stdout(), bytes)
        {
            *lost = Some(Lost::of(&error));
        }
        match *lost {
            None => Ok(bytes.len()),
            Some(lost) => Err(io::Error::other(lost)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_standard_output_differs_from_that_of_a_socket() {
        assert!(is_lost(&io::Error::other(Lost::ReaderGone)));
        assert!(!is_lost(&io::Error::from(io::ErrorKind::BrokenPipe)));
    }

    #[test]
    fn a_full_disk_is_called_by_its_name() {
        let lost = Lost::of(&io::Error::from_raw_os_error(28));
        assert!(lost.to_string().contains("No space left on device"), "{lost}");
    }
}
