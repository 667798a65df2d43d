//! `doug scan`.

use super::{consistency, entries, interval};
use crate::exit::Exit;
use crate::globals::Globals;
use doug_client::ScanOptions;
use std::io::BufWriter;

/// Options of `doug scan`.
#[derive(clap::Args)]
#[command(after_help = "\
Prints KEY<tab>VALUE, one entry a line, escaped so that a line is always one
entry: `--encoding escaped` reads such text back. -o json prints one object a line.

Examples:
  doug scan --prefix user7/
  doug scan --from a --to b --limit 10 --reverse
  doug scan --keys-only -o json")]
pub struct Args {
    #[command(flatten)]
    interval: interval::Args,
    /// From the greatest key down
    #[arg(long)]
    reverse: bool,
    /// Stop after so many entries
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Keys without values
    #[arg(long)]
    keys_only: bool,
    #[command(flatten)]
    consistency: consistency::Args,
    /// Keyspace; `system` is the catalog, which can only be read
    #[arg(long, default_value = "default", value_name = "NAME")]
    keyspace: String,
}

/// Runs the command.
pub async fn run(args: Args, globals: &Globals) -> anyhow::Result<Exit> {
    let range = args.interval.range(globals.encoding)?;
    let limit = args.limit.unwrap_or(u64::MAX);
    let options = ScanOptions {
        reverse: args.reverse,
        // No larger pages than are wanted; 0 is the server's default.
        page_limit: u32::try_from(limit).ok().filter(|limit| *limit <= 1_000).unwrap_or(0),
        keys_only: args.keys_only,
        read: args.consistency.read(),
    };
    let client = globals.one_shot().await?.in_keyspace(&args.keyspace);
    let mut out = BufWriter::new(doug_streams::out::Writer);
    let line = |entry: &_| match globals.json() {
        true => entries::json_line(args.keys_only, entry),
        false => entries::text_line(globals.encoding, args.keys_only, entry),
    };
    entries::write_lines(&client, range, options, limit, &mut out, line).await?;
    Ok(Exit::Done)
}
