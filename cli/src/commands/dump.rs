//! `doug dump`.

use super::{consistency, interval};
use crate::exit::Exit;
use crate::globals::Globals;
use clap::ValueEnum;
use std::path::PathBuf;

/// Options of `doug dump`.
#[derive(clap::Args)]
#[command(after_help = "\
jsonl: {\"key\": …, \"value\": …} a line, with keyBase64 or valueBase64 where the
bytes are not UTF-8; `doug load --format jsonl` reads it back, byte for byte.
tsv: KEY<tab>VALUE a line, escaped as `doug scan` does.

Examples:
  doug dump --format jsonl backup.jsonl
  doug dump --prefix user7/ --format tsv | cut -f1")]
pub struct Args {
    /// File to write; standard output if absent or -
    file: Option<PathBuf>,
    #[command(flatten)]
    interval: interval::Args,
    /// Form of the lines
    #[arg(long, default_value = "jsonl")]
    format: Format,
    #[command(flatten)]
    consistency: consistency::Args,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One JSON object a line
    Jsonl,
    /// Key, tab, value, escaped
    Tsv,
}

/// Runs the command.
pub async fn run(_args: Args, _globals: &Globals) -> anyhow::Result<Exit> {
    anyhow::bail!("waits for the client crate")
}
