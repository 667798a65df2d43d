//! `doug version`.

use crate::exit::Exit;
use crate::globals::Globals;

/// Options of `doug version`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  doug version
  doug version --client")]
pub struct Args {
    /// Only this program; do not ask the database
    #[arg(long)]
    client: bool,
}

/// Runs the command.
pub async fn run(_args: Args, _globals: &Globals) -> anyhow::Result<Exit> {
    anyhow::bail!("waits for the client crate")
}
