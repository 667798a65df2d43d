//! `doug load`.

use super::consistency;
use crate::exit::Exit;
use crate::globals::Globals;
use clap::ValueEnum;
use std::path::PathBuf;

/// Options of `doug load`.
#[derive(clap::Args)]
#[command(after_help = "\
csv, tsv: a record's key is one of its columns; its value is the whole line, or
one column. jsonl: {\"key\": …, \"value\": …} a line (keyBase64, valueBase64 where
not UTF-8), as `doug dump` writes it. lines: the key is the line, the value its
number. The last of several records with one key wins.

Examples:
  doug load UnicodeData.txt --format csv --delimiter ';' --key-column 1
  doug load /usr/share/dict/words --format lines
  doug load words --format lines --verify --consistency eventual
  doug dump | doug --endpoint http://other:7400 load - --format jsonl")]
pub struct Args {
    /// File to read; - for standard input
    file: PathBuf,
    /// Form of the records
    #[arg(long)]
    format: Format,
    /// Between columns, one character [default: , for csv, tab for tsv]
    #[arg(long, value_name = "CHARACTER")]
    delimiter: Option<String>,
    /// Column of the key, from 1
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    key_column: u32,
    /// Column of the value, from 1; the whole line if absent
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    value_column: Option<u32>,
    /// The first line names the columns and is no record
    #[arg(long)]
    header: bool,
    /// Operations under way at once
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=4096))]
    concurrency: u32,
    /// Go on until more than so many records have failed
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_errors: u64,
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
    /// Columns between tabs, no quotes
    Tsv,
    /// One JSON object a line
    Jsonl,
    /// One key a line
    Lines,
}

/// Runs the command.
pub async fn run(_args: Args, _globals: &Globals) -> anyhow::Result<Exit> {
    anyhow::bail!("waits for the client crate")
}
