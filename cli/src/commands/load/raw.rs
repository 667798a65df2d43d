//! The bytes of a record as they stand in the file. The CSV parser gives fields
//! without quotes; whoever wants whole lines needs what it read.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::rc::Rc;

/// A record longer than this is a mistake, most likely a quote never closed,
/// which would swallow the rest of the file.
const MOST_BYTES: usize = 8 << 20;

/// Remembers what a parser has read and nobody has taken yet.
#[derive(Clone, Default)]
pub struct Raw(Rc<RefCell<Kept>>);

#[derive(Default)]
struct Kept {
    /// Offset in the file of the first byte kept.
    base: u64,
    /// Line ends before it.
    lines: u64,
    bytes: VecDeque<u8>,
}

impl Raw {
    /// The reader that remembers.
    pub fn remember<R: Read>(&self, inner: R) -> Remembering<R> {
        Remembering { inner, raw: self.clone() }
    }

    /// Everything up to `end`, an offset in the file, without line ends around
    /// it; and the line, from 1, on which that begins.
    pub fn take_until(&self, end: u64) -> (Vec<u8>, u64) {
        let mut kept = self.0.borrow_mut();
        let count = usize::try_from(end - kept.base).expect("only what is in memory is taken");
        let taken: Vec<u8> = kept.bytes.drain(..count).collect();
        let is_line_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let first = taken.iter().position(|byte| !is_line_end(byte)).unwrap_or(taken.len());
        let last = taken.iter().rposition(|byte| !is_line_end(byte)).map_or(first, |at| at + 1);
        let line = kept.lines + count_lines(&taken[..first]) + 1;
        kept.base = end;
        kept.lines += count_lines(&taken);
        (taken[first..last].to_vec(), line)
    }
}

fn count_lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// Reads, and remembers.
pub struct Remembering<R> {
    inner: R,
    raw: Raw,
}

impl<R: Read> Read for Remembering<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut kept = self.raw.0.borrow_mut();
        if kept.bytes.len() > MOST_BYTES {
            let base = kept.base;
            return Err(io::Error::other(format!(
                "the record that begins at byte {base} is longer than {MOST_BYTES} bytes: is a \
                 quote not closed? For columns without quotes use --format tsv --delimiter"
            )));
        }
        let count = self.inner.read(buffer)?;
        kept.bytes.extend(&buffer[..count]);
        Ok(count)
    }
}
