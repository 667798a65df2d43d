//! `doug dump`.

mod progress;

use super::entries::{self, Limit};
use super::whole_file::WholeFile;
use super::{consistency, interval, moment};
use crate::exit::Exit;
use crate::globals::Globals;
use anyhow::Context;
use clap::ValueEnum;
use doug_client::{Read, ScanOptions};
use progress::Progress;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Options of `doug dump`.
#[derive(clap::Args)]
#[command(after_help = "\
jsonl: {\"key\": …, \"value\": …} a line, with keyBase64 or valueBase64 where the
bytes are not UTF-8; `doug load --format jsonl` reads it back, byte for byte.
All partitions are read at one moment: now, unless --at says another. With a
--consistency but linearizable, and no --at, each is read at a moment of its own.
tsv: KEY<tab>VALUE a line, escaped as `doug scan` does.

Examples:
  doug dump --format jsonl backup.jsonl
  doug dump --prefix user7/ --format tsv | cut -f1")]
pub struct Args {
    /// File to write; standard output if absent or -
    file: Option<PathBuf>,
    #[command(flatten)]
    interval: interval::Args,
    /// Form of the lines: jsonl or tsv
    #[arg(long, default_value = "jsonl")]
    format: Format,
    #[command(flatten)]
    moment: moment::Args,
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
            let progress = Progress::new(doug_streams::out::is_terminal());
            let mut out = BufWriter::new(doug_streams::out::Writer);
            dump(&args, globals, &client, &mut out, &progress).await?;
        }
        Some(path) => {
            let mut file = WholeFile::create(path)?;
            let progress = Progress::new(false);
            let written = dump(&args, globals, &client, &mut file, &progress).await;
            drop(progress);
            let written = written.with_context(|| format!("cannot dump to {}", path.display()))?;
            file.finish()?;
            doug_streams::errln!("doug: {written} entries written to {}", path.display());
        }
    }
    Ok(Exit::Done)
}

async fn dump(
    args: &Args,
    globals: &Globals,
    client: &doug_client::Client,
    out: &mut impl Write,
    progress: &Progress,
) -> anyhow::Result<u64> {
    let range = args.interval.range(globals.encoding)?;
    let read = args.consistency.read();
    let at = match args.moment.at() {
        None if read == Read::Linearizable => Some(client.cut().await?),
        at => at,
    };
    let options = ScanOptions { page_limit: PAGE, read, at, ..Default::default() };
    let line = |entry: &_| {
        let line = match args.format {
            Format::Jsonl => entries::json_line(false, entry),
            Format::Tsv => entries::text_line(globals.encoding, false, entry),
        };
        progress.wrote(line.len());
        Some(line)
    };
    let written = entries::write_lines(client, range, options, Limit::NONE, out, line).await?;
    Ok(written.entries)
}
