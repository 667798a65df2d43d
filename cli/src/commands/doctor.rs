//! `doug doctor`.

use crate::exit::Exit;
use crate::globals::Globals;

/// Options of `doug doctor`.
#[derive(clap::Args)]
#[command(after_help = "\
Each finding comes with a remedy. Exit status 1 if there is any.

Examples:
  doug doctor
  doug doctor --endpoint http://db.example.com:7400 -o json")]
pub struct Args {}

/// Runs the command.
pub async fn run(_args: Args, _globals: &Globals) -> anyhow::Result<Exit> {
    anyhow::bail!("waits for the client crate")
}
