//! `doug scan`.

use super::{consistency, interval};
use crate::exit::Exit;
use crate::globals::Globals;

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
}

/// Runs the command.
pub async fn run(_args: Args, _globals: &Globals) -> anyhow::Result<Exit> {
    anyhow::bail!("waits for the client crate")
}
