//! `doug get`.

use super::consistency;
use crate::exit::Exit;
use crate::globals::Globals;
use std::ffi::OsString;

/// Options of `doug get`.
#[derive(clap::Args)]
#[command(after_help = "\
Prints the value's bytes as they are; on a terminal escaped, with a newline.
Exit status 3 if the key does not exist.

Examples:
  doug get greeting
  doug get photo > cat.jpg
  doug get greeting --consistency eventual -v
  doug get greeting --consistency session:0801120608011001180a
  doug get greeting -o json")]
pub struct Args {
    /// Key
    key: OsString,
    #[command(flatten)]
    consistency: consistency::Args,
    /// Show revision, session token, who served and how stale, on standard error
    #[arg(short, long)]
    verbose: bool,
}

/// Runs the command.
pub async fn run(_args: Args, _globals: &Globals) -> anyhow::Result<Exit> {
    anyhow::bail!("waits for the client crate")
}
