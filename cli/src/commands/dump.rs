//! `doug dump`.

use super::{consistency, entries, interval};
use crate::exit::Exit;
use crate::globals::Globals;
use anyhow::Context;
use clap::ValueEnum;
use doug_client::ScanOptions;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

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

/// Most entries a page: a dump wants few round trips.
const PAGE: u32 = doug_proto::limits::SCAN_ENTRIES;

/// Runs the command.
pub async fn run(args: Args, globals: &Globals) -> anyhow::Result<Exit> {
    let client = globals.one_shot().await?;
    match args.file.as_deref().filter(|file| *file != Path::new("-")) {
        None => {
            dump(&args, globals, &client, &mut BufWriter::new(doug_streams::out::Writer)).await?;
        }
        Some(file) => {
            let written = into_file(&args, globals, &client, file).await?;
            doug_streams::errln!("doug: {written} entries written to {}", file.display());
        }
    }
    Ok(Exit::Done)
}

/// Writes beside the file and renames at the end, so that a dump that broke off
/// is never taken for a whole one, nor replaces the last good one.
async fn into_file(
    args: &Args,
    globals: &Globals,
    client: &doug_client::Client,
    file: &Path,
) -> anyhow::Result<u64> {
    let cannot = || format!("cannot write {}", file.display());
    let folder = match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let partial = tempfile::NamedTempFile::new_in(folder).with_context(cannot)?;
    let written = dump(args, globals, client, &mut BufWriter::new(partial.as_file())).await?;
    partial.as_file().sync_all().with_context(cannot)?;
    partial.persist(file).with_context(cannot)?;
    Ok(written)
}

async fn dump(
    args: &Args,
    globals: &Globals,
    client: &doug_client::Client,
    out: &mut impl Write,
) -> anyhow::Result<u64> {
    let range = args.interval.range(globals.encoding)?;
    let read = args.consistency.read();
    let options = ScanOptions { page_limit: PAGE, read, ..Default::default() };
    let line = |entry: &_| match args.format {
        Format::Jsonl => entries::json_line(false, entry),
        Format::Tsv => entries::text_line(globals.encoding, false, entry),
    };
    entries::write_lines(client, range, options, u64::MAX, out, line).await
}
