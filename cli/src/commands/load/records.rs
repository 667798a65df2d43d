//! From the bytes of a file to records, in the four formats.

use super::Format;
use super::raw::{Raw, Remembering};
use crate::encoding::from_json;
use crate::exit::usage;
use bytes::Bytes;
use std::io::{BufRead, Read};

/// One key and its value.
#[derive(Debug, PartialEq, Eq)]
pub struct Record {
    /// Line on which it begins, from 1.
    pub line: u64,
    /// Bytes of the file up to its end, for progress.
    pub end: u64,
    /// The key.
    pub key: Bytes,
    /// The value.
    pub value: Bytes,
}

/// A line that is no record.
#[derive(Debug, PartialEq, Eq)]
pub struct BadRecord {
    /// Line on which it begins, from 1.
    pub line: u64,
    /// What is wrong and what to do.
    pub message: String,
    /// Whether reading cannot go on after it.
    pub fatal: bool,
}

/// Where in a line key and value stand.
#[derive(Clone, Debug)]
pub struct Layout {
    format: Format,
    delimiter: u8,
    key_column: usize,
    value_column: Option<usize>,
    header: bool,
}

impl Layout {
    /// Columns count from 1.
    ///
    /// # Errors
    /// A delimiter that is not one ASCII character, or columns where there are none.
    pub fn new(
        format: Format,
        delimiter: Option<&str>,
        key_column: usize,
        value_column: Option<usize>,
        header: bool,
    ) -> anyhow::Result<Self> {
        let columns = matches!(format, Format::Csv | Format::Tsv);
        if !columns && (delimiter.is_some() || value_column.is_some() || key_column != 1 || header)
        {
            return Err(usage(
                "--delimiter, --key-column, --value-column and --header are for --format csv and \
                 tsv: jsonl and lines have no columns",
            ));
        }
        let delimiter = match delimiter.map(str::as_bytes) {
            None if format == Format::Tsv => b'\t',
            None => b',',
            Some(br"\t") => b'\t',
            Some([one]) if one.is_ascii() => *one,
            Some(_) => {
                return Err(usage("--delimiter must be one ASCII character, or \\t for a tab"));
            }
        };
        Ok(Self { format, delimiter, key_column, value_column, header })
    }

    /// The records of a file.
    pub fn records<'a>(&self, file: impl BufRead + 'a) -> Box<dyn Records + 'a> {
        match self.format {
            Format::Csv => Box::new(Columns::new(file, self.clone(), true)),
            Format::Tsv => Box::new(Columns::new(file, self.clone(), false)),
            Format::Jsonl => Box::new(Lines { file, line: 0, end: 0, read: json_record }),
            Format::Lines => Box::new(Lines { file, line: 0, end: 0, read: line_record }),
        }
    }
}

/// Records one after the other, each good or bad.
pub trait Records: Iterator<Item = Result<Record, BadRecord>> {}

impl<I: Iterator<Item = Result<Record, BadRecord>>> Records for I {}

struct Columns<R> {
    reader: csv::Reader<Remembering<R>>,
    raw: Raw,
    layout: Layout,
    fields: csv::ByteRecord,
}

impl<R: Read> Columns<R> {
    fn new(file: R, layout: Layout, quotes: bool) -> Self {
        let raw = Raw::default();
        let reader = csv::ReaderBuilder::new()
            .delimiter(layout.delimiter)
            .has_headers(layout.header)
            .quoting(quotes)
            // A line with fewer columns is bad by itself, not because of the first.
            .flexible(true)
            .from_reader(raw.remember(file));
        Self { reader, raw, layout, fields: csv::ByteRecord::new() }
    }

    fn record(&self, raw: Vec<u8>, line: u64, end: u64) -> Result<Record, BadRecord> {
        let column = |name: &str, number: usize| {
            self.fields.get(number - 1).map(Bytes::copy_from_slice).ok_or_else(|| {
                let count = self.fields.len();
                let message = format!(
                    "it has {count} columns, and {name} is {number}: check --delimiter and {name}"
                );
                BadRecord { line, message, fatal: false }
            })
        };
        let key = column("--key-column", self.layout.key_column)?;
        let value = match self.layout.value_column {
            None => raw.into(),
            Some(number) => column("--value-column", number)?,
        };
        Ok(Record { line, end, key, value })
    }
}

impl<R: Read> Iterator for Columns<R> {
    type Item = Result<Record, BadRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        if std::mem::take(&mut self.layout.header) {
            // Otherwise the header would be taken for a part of the first record.
            // Its error comes again with the first record.
            let _ = self.reader.byte_headers();
            self.raw.take_until(self.reader.position().byte());
        }
        match self.reader.read_byte_record(&mut self.fields) {
            Ok(false) => None,
            Ok(true) => {
                let end = self.reader.position().byte();
                let (raw, line) = self.raw.take_until(end);
                Some(self.record(raw, line, end))
            }
            Err(error) => {
                let line = self.reader.position().line();
                Some(Err(BadRecord { line, message: error.to_string(), fatal: true }))
            }
        }
    }
}

/// From a line and its number to key and value, or what is wrong.
type ReadLine = fn(&[u8], u64) -> Result<(Bytes, Bytes), String>;

struct Lines<R> {
    file: R,
    line: u64,
    end: u64,
    read: ReadLine,
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<Record, BadRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let mut bytes = Vec::new();
            self.line += 1;
            let line = self.line;
            match self.file.read_until(b'\n', &mut bytes) {
                Ok(0) => return None,
                Ok(count) => self.end += count as u64,
                Err(error) => {
                    let message = error.to_string();
                    return Some(Err(BadRecord { line, message, fatal: true }));
                }
            }
            let text = without_line_end(&bytes);
            if text.is_empty() {
                continue;
            }
            let end = self.end;
            return Some(match (self.read)(text, line) {
                Ok((key, value)) => Ok(Record { line, end, key, value }),
                Err(message) => Err(BadRecord { line, message, fatal: false }),
            });
        }
    }
}

fn without_line_end(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

fn line_record(text: &[u8], line: u64) -> Result<(Bytes, Bytes), String> {
    Ok((Bytes::copy_from_slice(text), Bytes::from(line.to_string())))
}

fn json_record(text: &[u8], _line: u64) -> Result<(Bytes, Bytes), String> {
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(text)
        .map_err(|error| format!("it is not a JSON object: {error}"))?;
    let field = |name: &str| {
        from_json(&object, name)?.ok_or_else(|| {
            format!(
                "it has neither {name:?} nor \"{name}Base64\": write {{\"key\": …, \"value\": …}}"
            )
        })
    };
    Ok((field("key")?, field("value")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(layout: &Layout, file: &[u8]) -> Vec<Result<(u64, String, String), String>> {
        let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        layout
            .records(file)
            .map(|record| match record {
                Ok(record) => Ok((record.line, text(record.key), text(record.value))),
                Err(bad) => Err(format!("{}: {}", bad.line, bad.message)),
            })
            .collect()
    }

    fn ok(line: u64, key: &str, value: &str) -> Result<(u64, String, String), String> {
        Ok((line, key.into(), value.into()))
    }

    fn layout(format: Format, delimiter: Option<&str>, key: usize, value: Option<usize>) -> Layout {
        Layout::new(format, delimiter, key, value, false).unwrap()
    }

    #[test]
    fn the_value_of_a_csv_record_is_its_whole_line() {
        let file = b"0041;LATIN CAPITAL LETTER A;Lu\r\n0042;B;Lu\n\n\n0043;C;Lu";
        assert_eq!(
            read(&layout(Format::Csv, Some(";"), 1, None), file),
            [
                ok(1, "0041", "0041;LATIN CAPITAL LETTER A;Lu"),
                ok(2, "0042", "0042;B;Lu"),
                ok(5, "0043", "0043;C;Lu"),
            ]
        );
    }

    #[test]
    fn quotes_are_taken_off_columns_and_kept_in_lines() {
        let file = b"\"a,\"\"1\"\"\",\"two\nlines\"\nb,2\n";
        assert_eq!(
            read(&layout(Format::Csv, None, 1, Some(2)), file),
            [ok(1, "a,\"1\"", "two\nlines"), ok(3, "b", "2")]
        );
        let whole = read(&layout(Format::Csv, None, 1, None), file);
        assert_eq!(whole[0], ok(1, "a,\"1\"", "\"a,\"\"1\"\"\",\"two\nlines\""));
    }

    #[test]
    fn a_header_is_no_record() {
        let layout = Layout::new(Format::Csv, None, 1, None, true).unwrap();
        assert_eq!(read(&layout, b"key,value\na,1\n"), [ok(2, "a", "a,1")]);
    }

    #[test]
    fn tsv_has_no_quotes() {
        let layout = layout(Format::Tsv, None, 2, Some(1));
        assert_eq!(read(&layout, b"\"x\ty\nz\t\"w\n"), [ok(1, "y", "\"x"), ok(2, "\"w", "z")]);
    }

    #[test]
    fn a_line_without_the_column_is_bad_and_the_next_is_not() {
        let records = read(&layout(Format::Csv, None, 3, None), b"a,b\nc,d,e\n");
        assert!(records[0].as_ref().unwrap_err().contains("1: it has 2 columns"), "{records:?}");
        assert_eq!(records[1], ok(2, "e", "c,d,e"));
    }

    #[test]
    fn a_quote_never_closed_ends_the_reading_instead_of_filling_memory() {
        let mut file = b"a,\"".to_vec();
        file.resize(20 << 20, b'x');
        let layout = layout(Format::Csv, None, 1, None);
        let bad = layout.records(&file[..]).next().unwrap().unwrap_err();
        assert!(bad.fatal && bad.message.contains("quote not closed"), "{bad:?}");
    }

    #[test]
    fn a_line_is_a_key_and_its_number_the_value() {
        let layout = layout(Format::Lines, None, 1, None);
        assert_eq!(
            read(&layout, b"one\n\nthree\r\nfour"),
            [ok(1, "one", "1"), ok(3, "three", "3"), ok(4, "four", "4"),]
        );
    }

    #[test]
    fn json_lines_carry_bytes_that_are_not_text() {
        let layout = layout(Format::Jsonl, None, 1, None);
        let file = br#"{"keyBase64":"/w==","value":"v","revision":7}"#;
        let record = layout.records(&file[..]).next().unwrap().unwrap();
        assert_eq!((&record.key[..], &record.value[..]), (&b"\xff"[..], &b"v"[..]));
    }

    #[test]
    fn json_lines_without_key_or_value_are_bad() {
        let records = read(&layout(Format::Jsonl, None, 1, None), b"{\"key\":\"a\"}\n[]\n");
        assert!(records[0].as_ref().unwrap_err().contains("\"valueBase64\""), "{records:?}");
        assert!(records[1].as_ref().unwrap_err().contains("not a JSON object"), "{records:?}");
    }

    #[test]
    fn columns_of_formats_without_columns_are_wrong_usage() {
        assert!(Layout::new(Format::Lines, Some(";"), 1, None, false).is_err());
        assert!(Layout::new(Format::Jsonl, None, 2, None, false).is_err());
        assert!(Layout::new(Format::Csv, Some(";;"), 1, None, false).is_err());
        assert!(Layout::new(Format::Csv, Some("\\t"), 1, None, false).is_ok());
    }
}
