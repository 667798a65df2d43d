//! Lines of a file, of which none may fill the memory.

use super::records::BadRecord;
use std::io::{BufRead, Read};

/// A record longer than this is a mistake: most likely a file without line ends, or a
/// quote never closed, which would swallow the rest of the file.
pub const MOST_BYTES: usize = 8 << 20;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// One line.
#[derive(Debug)]
pub struct Line {
    /// Its number, from 1.
    pub number: u64,
    /// Bytes of the file up to its end.
    pub end: u64,
    /// The line without its end, `\n` or `\r\n`.
    pub text: Vec<u8>,
}

/// The lines of a file that are not empty.
pub struct Lines<R> {
    file: R,
    number: u64,
    end: u64,
}

impl<R: BufRead> Lines<R> {
    /// From its beginning; a byte order mark is no part of the first line.
    ///
    /// # Errors
    /// UTF-16, in which every line would look like another.
    pub fn new(mut file: R) -> Result<Self, BadRecord> {
        let end = skip_mark(&mut file).map_err(|message| BadRecord::fatal(1, message))?;
        Ok(Self { file, number: 0, end })
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<Line, BadRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let mut text = Vec::new();
            self.number += 1;
            let number = self.number;
            let most = MOST_BYTES as u64 + 1;
            match self.file.by_ref().take(most).read_until(b'\n', &mut text) {
                Ok(0) => return None,
                Ok(count) => self.end += count as u64,
                Err(error) => return Some(Err(BadRecord::fatal(number, error.to_string()))),
            }
            if text.len() > MOST_BYTES {
                let message =
                    format!("it is longer than {MOST_BYTES} bytes: is this the right file?");
                return Some(Err(BadRecord::fatal(number, message)));
            }
            if text.pop_if(|last| *last == b'\n').is_some() {
                text.pop_if(|last| *last == b'\r');
            }
            if !text.is_empty() {
                return Some(Ok(Line { number, end: self.end, text }));
            }
        }
    }
}

/// Passes over a UTF-8 byte order mark, which some editors write; gives its length.
///
/// # Errors
/// A mark of UTF-16.
pub fn skip_mark(file: &mut impl BufRead) -> Result<u64, String> {
    let start = file.fill_buf().map_err(|error| error.to_string())?;
    if start.starts_with(BOM) {
        file.consume(BOM.len());
        return Ok(BOM.len() as u64);
    }
    if start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") {
        return Err("the file is UTF-16: convert it first, `iconv -f UTF-16 -t UTF-8`".to_owned());
    }
    Ok(0)
}
