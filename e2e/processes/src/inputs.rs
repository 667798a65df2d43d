//! Real input, and what of it must be found in the database.

use crate::ledger::Ledger;
use bytes::Bytes;
use std::path::Path;

/// 34,924 records; the key is the code point.
pub const UNICODE: &str = "/usr/share/unicode/UnicodeData.txt";
/// 663,473 words.
pub const WORDS: &str = "/usr/share/dict/american-english-insane";

/// The records of [`UNICODE`]: code point, whole line.
///
/// # Panics
/// When it is not installed.
pub fn unicode() -> Ledger {
    let lines = lines(UNICODE);
    let record = |line: Bytes| {
        let end = line.iter().position(|byte| *byte == b';').expect("a delimiter in each line");
        (line.slice(..end), line)
    };
    lines.into_iter().map(record).collect()
}

/// The records of [`WORDS`]: word, number of its line from 1.
///
/// # Panics
/// When it is not installed.
pub fn words() -> Ledger {
    let numbered = lines(WORDS).into_iter().zip(1_u64..);
    numbered.map(|(word, number)| (word, number.to_string().into())).collect()
}

fn lines(path: &str) -> Vec<Bytes> {
    let text = std::fs::read(Path::new(path)).unwrap_or_else(|error| {
        panic!("{path}: {error}; apt-get install unicode-data wamerican-insane")
    });
    let text = Bytes::from(text);
    let lines = text.split(|byte| *byte == b'\n').map(|line| text.slice_ref(line));
    lines.filter(|line| !line.is_empty()).collect()
}
