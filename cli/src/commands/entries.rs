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

/// Writes one line for each entry.
///
/// # Errors
/// A scan that broke off, with how far it came; or the writer's.
pub async fn write_lines(
    client: &Client,
    range: Range,
    options: ScanOptions,
    limit: Limit,
    out: &mut impl Write,
    line: impl Fn(&ScanEntry) -> String,
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
        writeln!(out, "{}", line(&entry))?;
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
    fn json_says_which_bytes_are_not_text() {
        let line = json_line(false, &entry());
        assert_eq!(line, r#"{"key":"a\tb","revision":7,"valueBase64":"/wo="}"#);
    }
}
