//! Entries of a scan as lines, for `scan` and `dump`.

use crate::encoding::{Encoding, insert_json};
use anyhow::Context;
use doug_client::{Client, Range, ScanOptions};
use doug_proto::v1::ScanEntry;
use serde_json::{Map, Value};
use std::io::Write;

/// KEY, or KEY, a tab, VALUE.
pub fn text_line(encoding: Encoding, keys_only: bool, entry: &ScanEntry) -> String {
    let mut line = encoding.show(&entry.key);
    if !keys_only {
        line.push('\t');
        line.push_str(&encoding.show(&entry.value));
    }
    line
}

/// The head of a table of entries.
pub fn head(keys_only: bool) -> &'static [&'static str] {
    if keys_only { &["KEY", "REVISION"] } else { &["KEY", "REVISION", "VALUE"] }
}

/// A row below it. Escaped, so that a row is one line.
pub fn row(encoding: Encoding, keys_only: bool, entry: &ScanEntry) -> Vec<String> {
    let value = (!keys_only).then(|| encoding.show(&entry.value));
    let start = [encoding.show(&entry.key), entry.revision.to_string()];
    start.into_iter().chain(value).collect()
}

/// One JSON object.
pub fn json_line(keys_only: bool, entry: &ScanEntry) -> String {
    let mut object = Map::new();
    insert_json(&mut object, "key", &entry.key);
    if !keys_only {
        insert_json(&mut object, "value", &entry.value);
    }
    object.insert("revision".into(), entry.revision.into());
    Value::from(object).to_string()
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// How many entries.
    pub entries: u64,
    /// Whether more were found than the limit.
    pub more: bool,
}

/// How many entries are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// At most so many.
    pub entries: u64,
    /// Whether to find out if there are more: that may take one more page.
    pub looks_beyond: bool,
}

impl Limit {
    /// All there are.
    pub const NONE: Self = Self { entries: u64::MAX, looks_beyond: false };
}

/// Writes what `lines` makes of each entry: one line, several that were held back, or none yet.
///
/// # Errors
/// A scan that broke off, with how far it came; or the writer's.
pub async fn write_lines(
    client: &Client,
    range: Range,
    options: ScanOptions,
    limit: Limit,
    out: &mut impl Write,
    mut lines: impl FnMut(&ScanEntry) -> Option<String>,
) -> anyhow::Result<Written> {
    let mut entries = client.scan(range, options);
    let mut written = 0;
    let more = loop {
        if written == limit.entries && !limit.looks_beyond {
            break false;
        }
        let next = entries.next().await;
        let next = next.with_context(|| format!("the scan broke off after {written} entries"))?;
        let Some(entry) = next else { break false };
        if written == limit.entries {
            break true;
        }
        if let Some(lines) = lines(&entry) {
            writeln!(out, "{lines}")?;
        }
        written += 1;
    };
    out.flush()?;
    Ok(Written { entries: written, more })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn entry() -> ScanEntry {
        let (key, value) = (Bytes::from_static(b"a\tb"), Bytes::from_static(b"\xff\n"));
        ScanEntry { key, value, revision: 7 }
    }

    #[test]
    fn no_key_or_value_can_forge_a_field_or_a_line() {
        assert_eq!(text_line(Encoding::Text, false, &entry()), "a\\tb\t\\xff\\n");
        assert_eq!(text_line(Encoding::Text, true, &entry()), "a\\tb");
    }

    #[test]
    fn a_row_of_a_table_has_a_cell_for_each_column_and_is_one_line() {
        assert_eq!(row(Encoding::Text, false, &entry()), ["a\\tb", "7", "\\xff\\n"]);
        for keys_only in [false, true] {
            let row = row(Encoding::Text, keys_only, &entry());
            assert_eq!(row.len(), head(keys_only).len());
        }
    }

    #[test]
    fn json_says_which_bytes_are_not_text() {
        let line = json_line(false, &entry());
        assert_eq!(line, r#"{"key":"a\tb","revision":7,"valueBase64":"/wo="}"#);
    }
}
