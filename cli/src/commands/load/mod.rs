//! `doug load`: many records in, or compared with what is there.

mod gaps;
mod lines;
mod pipeline;
mod progress;
mod quotes;
mod raw;
mod reader;
mod records;
mod report;
mod verify;
mod write;

use super::consistency;
use crate::encoding::Encoding;
use crate::exit::Exit;
use crate::globals::Globals;
use crate::units;
use clap::ValueEnum;
use std::path::PathBuf;
use std::time::Duration;

/// Options of `doug load`.
#[derive(clap::Args)]
#[command(after_help = "\
csv, tsv: a record's key is one of its columns; its value is the whole line, or
one column. Columns of csv may stand in quotes; those of tsv are written as `doug
dump` and `doug scan` do, by --encoding, or as they stand with --raw.
jsonl: {\"key\": …, \"value\": …} a line (keyBase64, valueBase64 where not UTF-8),
as `doug dump` writes it. lines: the key is the line, the value its number.
The last of several records with one key wins.

A record that nobody could serve in time is written again; so is one whose
outcome is unknown, since writing it twice is the same as once.

Examples:
  doug load UnicodeData.txt --format csv --delimiter ';' --key-column 1
  doug load /usr/share/dict/words --format lines
  doug load /usr/share/dict/words --format lines --verify --consistency eventual
  doug dump --format tsv t && doug load t --format tsv --value-column 2
  doug dump | doug load - --format jsonl --endpoint http://other:7400")]
pub struct Args {
    /// File to read; - for standard input
    file: PathBuf,
    /// Form of the records: csv, tsv, jsonl or lines
    #[arg(long)]
    format: Format,
    /// Between columns, one ASCII character [default: , for csv, tab for tsv]
    #[arg(long, value_name = "CHARACTER")]
    delimiter: Option<String>,
    /// Column of the key, from 1
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    key_column: u32,
    /// Column of the value, from 1; the whole line if absent
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    value_column: Option<u32>,
    /// Columns of tsv are the bytes as they stand: a backslash escapes nothing
    #[arg(long)]
    raw: bool,
    /// The first line names the columns and is no record
    #[arg(long)]
    header: bool,
    /// Operations under way at once
    #[arg(
        long,
        value_name = "N",
        default_value_t = 256,
        value_parser = clap::value_parser!(u32).range(1..=65_536)
    )]
    concurrency: u32,
    /// Go on until more than so many records have failed
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_errors: u64,
    /// Try a record again for so long before it counts as failed
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration, default_value = "60s")]
    retry_for: Duration,
    /// Write nothing; read every record back and compare
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    consistency: consistency::Args,
}

/// Form of the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns with quotes where needed
    Csv,
    /// Columns between tabs, escaped as `doug dump` does; no quotes
    Tsv,
    /// One JSON object a line
    Jsonl,
    /// One key a line
    Lines,
}

/// Runs the command.
pub async fn run(args: Args, globals: &Globals) -> anyhow::Result<Exit> {
    let layout = args.layout(globals.encoding)?;
    let (records, size) = reader::start(&args.file, layout)?;
    let client = globals.builder().connect().await?;
    let progress = progress::Progress::new(size, args.verify);
    let pipeline = pipeline::Pipeline {
        records,
        concurrency: args.concurrency as usize,
        max_errors: args.max_errors,
        progress,
    };
    if args.verify {
        let differences = verify::run(pipeline, &client, args.consistency.read(), &args).await?;
        return Ok(report::verified(&differences, globals));
    }
    let written = write::run(pipeline, &client, args.retry_for).await?;
    Ok(report::written(&written, globals))
}

impl Args {
    fn layout(&self, encoding: Encoding) -> anyhow::Result<records::Layout> {
        let columns = records::Columns {
            delimiter: self.delimiter.as_deref(),
            key: self.key_column as usize,
            value: self.value_column.map(|column| column as usize),
            header: self.header,
            raw: self.raw,
        };
        records::Layout::new(self.format, columns, encoding)
    }
}
