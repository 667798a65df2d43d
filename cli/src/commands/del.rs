//! `doug del`.

use crate::exit::Exit;
use crate::globals::Globals;
use std::ffi::OsString;

/// Options of `doug del`.
#[derive(clap::Args)]
#[command(after_help = "\
Exit status 3 if the key did not exist, 4 if it was written at another revision.

Examples:
  doug del greeting
  doug del greeting --if-revision 17")]
pub struct Args {
    /// Key
    key: OsString,
    /// Only if the key was last written at this revision
    #[arg(long, value_name = "N")]
    if_revision: Option<u64>,
    /// Show revision, session token and who served, on standard error
    #[arg(short, long)]
    verbose: bool,
}

/// Runs the command.
pub async fn run(_args: Args, _globals: &Globals) -> anyhow::Result<Exit> {
    anyhow::bail!("waits for the client crate")
}
