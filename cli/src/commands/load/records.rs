//! From the bytes of a file to records, in the four formats.

use super::Format;
use super::lines::{Lines, skip_mark};
use super::quotes;
use super::raw::{Raw, Remembering, Taken};
use crate::encoding::{Encoding, from_json};
use crate::exit::usage;
use bytes::Bytes;
use doug_proto::limits::{KEY_BYTES, VALUE_BYTES};
use std::io::BufRead;

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

impl Record {
    /// Bytes of memory that it takes.
    pub fn bytes(&self) -> usize {
        self.key.len() + self.value.len()
    }

    /// Refused here already, so that what waits to be written is bounded.
    fn checked(self) -> Result<Self, BadRecord> {
        for (what, bytes, most) in
            [("key", &self.key, KEY_BYTES), ("value", &self.value, VALUE_BYTES)]
        {
            if bytes.len() > most {
                let message =
                    format!("its {what} has {} bytes, and {most} are allowed", bytes.len());
                return Err(BadRecord { line: self.line, message, fatal: false });
            }
        }
        Ok(self)
    }
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

impl BadRecord {
    /// One after which nothing can be read.
    pub fn fatal(line: u64, message: String) -> Self {
        Self { line, message, fatal: true }
    }
}

/// Where in a line key and value stand, and how they are written.
#[derive(Clone, Debug)]
pub struct Layout {
    format: Format,
    delimiter: u8,
    key_column: usize,
    value_column: Option<usize>,
    header: bool,
    /// How the columns of tsv are written; none: as they stand.
    encoding: Option<Encoding>,
}

/// What the command line says of columns.
#[derive(Clone, Copy, Debug, Default)]
pub struct Columns<'a> {
    /// Between columns.
    pub delimiter: Option<&'a str>,
    /// Column of the key, from 1.
    pub key: usize,
    /// Column of the value, from 1.
    pub value: Option<usize>,
    /// The first line names them.
    pub header: bool,
    /// They are taken as they stand.
    pub raw: bool,
}

impl Layout {
    /// The layout of a file.
    ///
    /// # Errors
    /// A delimiter that is not one ASCII character, or columns where there are none.
    pub fn new(format: Format, columns: Columns, encoding: Encoding) -> anyhow::Result<Self> {
        let Columns { delimiter, key, value, header, raw } = columns;
        let has_columns = matches!(format, Format::Csv | Format::Tsv);
        if !has_columns && (delimiter.is_some() || value.is_some() || key != 1 || header) {
            return Err(usage(
                "--delimiter, --key-column, --value-column and --header are for --format csv and \
                 tsv: jsonl and lines have no columns",
            ));
        }
        if raw && format != Format::Tsv {
            return Err(usage("--raw is for --format tsv: only there are columns escaped"));
        }
        let delimiter = match delimiter.map(str::as_bytes) {
            None if format == Format::Tsv => b'\t',
            None => b',',
            Some(br"\t") => b'\t',
            Some([one]) if one.is_ascii() && !matches!(one, b'\n' | b'\r' | b'"') => *one,
            Some(_) => {
                return Err(usage(
                    "--delimiter must be one ASCII character, no quote and no line end, or \\t for \
                     a tab",
                ));
            }
        };
        let encoding = (format == Format::Tsv && !raw).then_some(encoding);
        Ok(Self { format, delimiter, key_column: key, value_column: value, header, encoding })
    }

    /// The records of a file.
    pub fn records<'a>(&self, file: impl BufRead + 'a) -> Box<dyn Records + 'a> {
        let layout = self.clone();
        match self.format {
            Format::Csv => Box::new(Quoted::new(file, layout)),
            Format::Tsv => Box::new(each_line(file, move |text, line| {
                let is_header = layout.header && line == 1;
                (!is_header).then(|| layout.tsv_record(text))
            })),
            Format::Jsonl => Box::new(each_line(file, |text, _| Some(json_record(text)))),
            Format::Lines => Box::new(each_line(file, |text, line| Some(line_record(text, line)))),
        }
    }

    fn tsv_record(&self, text: &[u8]) -> Result<(Bytes, Bytes), String> {
        let columns: Vec<&[u8]> = text.split(|byte| *byte == self.delimiter).collect();
        let column = |name: &str, number: usize| {
            let column = columns.get(number - 1);
            let column = column.ok_or_else(|| too_few(name, number, columns.len()))?;
            match self.encoding {
                None => Ok(Bytes::copy_from_slice(column)),
                Some(encoding) => encoding.read_field(column).map_err(|why| {
                    format!("column {number}: {why}; --raw takes columns as they stand")
                }),
            }
        };
        let key = column("--key-column", self.key_column)?;
        let value = match self.value_column {
            None => Bytes::copy_from_slice(text),
            Some(number) => column("--value-column", number)?,
        };
        Ok((key, value))
    }
}

/// Records one after the other, each good or bad.
pub trait Records: Iterator<Item = Result<Record, BadRecord>> {}

impl<I: Iterator<Item = Result<Record, BadRecord>>> Records for I {}

fn too_few(name: &str, number: usize, count: usize) -> String {
    format!("it has {count} columns, and {name} is {number}: check --delimiter and {name}")
}

/// A record a line, read by `read` from the line and its number; none where it gives none.
fn each_line<'a>(
    file: impl BufRead + 'a,
    mut read: impl FnMut(&[u8], u64) -> Option<Result<(Bytes, Bytes), String>> + 'a,
) -> impl Records + 'a {
    let (lines, refused) = match Lines::new(file) {
        Ok(lines) => (Some(lines), None),
        Err(bad) => (None, Some(Err(bad))),
    };
    let records = lines.into_iter().flatten().filter_map(move |line| {
        let line = match line {
            Ok(line) => line,
            Err(bad) => return Some(Err(bad)),
        };
        let (number, end) = (line.number, line.end);
        Some(match read(&line.text, number)? {
            Ok((key, value)) => Record { line: number, end, key, value }.checked(),
            Err(message) => Err(BadRecord { line: number, message, fatal: false }),
        })
    });
    refused.into_iter().chain(records)
}

/// CSV: fields may stand in quotes, and those may hold delimiters and line ends.
struct Quoted<R> {
    /// None: the file was refused.
    reader: Option<csv::Reader<Remembering<R>>>,
    refused: Option<BadRecord>,
    raw: Raw,
    layout: Layout,
    fields: csv::ByteRecord,
}

impl<R: BufRead> Quoted<R> {
    fn new(mut file: R, layout: Layout) -> Self {
        let raw = Raw::default();
        let mark = skip_mark(&mut file);
        let reader = mark.is_ok().then(|| {
            csv::ReaderBuilder::new()
                .delimiter(layout.delimiter)
                .has_headers(layout.header)
                // A carriage return alone is data; one before a line feed is taken off below.
                .terminator(csv::Terminator::Any(b'\n'))
                // A line with fewer columns is bad by itself, not because of the first.
                .flexible(true)
                .from_reader(raw.remember(file))
        });
        let refused = mark.err().map(|message| BadRecord::fatal(1, message));
        Self { reader, refused, raw, layout, fields: csv::ByteRecord::new() }
    }

    fn record(&self, taken: &Taken, end: u64) -> Result<Record, BadRecord> {
        let line = taken.line;
        if let Some(message) = quotes::misplaced(&taken.bytes, self.layout.delimiter, line) {
            return Err(BadRecord::fatal(line, message));
        }
        let count = self.fields.len();
        let column = |name: &str, number: usize| {
            let column = self.fields.get(number - 1).ok_or_else(|| BadRecord {
                line,
                message: too_few(name, number, count),
                fatal: false,
            })?;
            let column = if taken.returned && number == count {
                column.strip_suffix(b"\r").unwrap_or(column)
            } else {
                column
            };
            Ok(Bytes::copy_from_slice(column))
        };
        let key = column("--key-column", self.layout.key_column)?;
        let value = match self.layout.value_column {
            None => Bytes::copy_from_slice(&taken.bytes),
            Some(number) => column("--value-column", number)?,
        };
        Record { line, end, key, value }.checked()
    }
}

impl<R: BufRead> Iterator for Quoted<R> {
    type Item = Result<Record, BadRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        let Some(reader) = &mut self.reader else { return self.refused.take().map(Err) };
        if std::mem::take(&mut self.layout.header) {
            // Otherwise the header would be taken for a part of the first record.
            // Its error comes again with the first record.
            let _ = reader.byte_headers();
            self.raw.take_until(reader.position().byte());
        }
        let (taken, end) = loop {
            match reader.read_byte_record(&mut self.fields) {
                Ok(false) => return None,
                Ok(true) => {
                    let end = reader.position().byte();
                    let taken = self.raw.take_until(end);
                    // Else a line end alone.
                    if !taken.bytes.is_empty() {
                        break (taken, end);
                    }
                }
                Err(error) => {
                    let line = reader.position().line();
                    return Some(Err(BadRecord::fatal(line, error.to_string())));
                }
            }
        };
        Some(self.record(&taken, end))
    }
}

fn line_record(text: &[u8], line: u64) -> Result<(Bytes, Bytes), String> {
    Ok((Bytes::copy_from_slice(text), Bytes::from(line.to_string())))
}

fn json_record(text: &[u8]) -> Result<(Bytes, Bytes), String> {
    let object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(text).map_err(not_an_object)?;
    let field = |name: &str| {
        from_json(&object, name)?.ok_or_else(|| {
            format!(
                "it has neither {name:?} nor \"{name}Base64\": write {{\"key\": …, \"value\": …}}"
            )
        })
    };
    Ok((field("key")?, field("value")?))
}

/// A record is one line: that serde counts lines inside it, too, would only mislead.
fn not_an_object(error: serde_json::Error) -> String {
    let (text, place) =
        (error.to_string(), format!(" at line {} column {}", error.line(), error.column()));
    let what = text.strip_suffix(&place).unwrap_or(&text);
    format!("column {}: it is not a JSON object: {what}", error.column().max(1))
}

#[cfg(test)]
mod tests;
