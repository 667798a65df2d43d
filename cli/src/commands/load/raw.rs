//! The bytes of a record as they stand in the file. The CSV parser gives fields
//! without quotes; whoever wants whole lines needs what it read.

use super::lines::MOST_BYTES;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::rc::Rc;

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

    /// Everything up to `end`, an offset in the file.
    pub fn take_until(&self, end: u64) -> Taken {
        let mut kept = self.0.borrow_mut();
        let count = usize::try_from(end - kept.base).expect("only what is in memory is taken");
        let taken: Vec<u8> = kept.bytes.drain(..count).collect();
        let (before, lines) = (kept.lines, count_lines(&taken));
        kept.base = end;
        kept.lines += lines;
        let mut bytes = &taken[..];
        while let Some(rest) = bytes.strip_prefix(b"\n").or(bytes.strip_prefix(b"\r\n")) {
            bytes = rest;
        }
        let line = before + count_lines(&taken[..taken.len() - bytes.len()]) + 1;
        let returned = bytes.ends_with(b"\r\n");
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let bytes = if returned { &bytes[..bytes.len() - 1] } else { bytes };
        Taken { bytes: bytes.to_vec(), returned, line }
    }
}

/// A record as it stands in the file.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    /// Without empty lines before it and without its line end.
    pub bytes: Vec<u8>,
    /// Whether that began with a carriage return.
    pub returned: bool,
    /// The line, from 1, on which it begins.
    pub line: u64,
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
                 quote not closed? For columns without quotes use --format tsv --raw --delimiter"
            )));
        }
        let count = self.inner.read(buffer)?;
        kept.bytes.extend(&buffer[..count]);
        Ok(count)
    }
}
