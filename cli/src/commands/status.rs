//! `doug status`.

use crate::exit::Exit;
use crate::globals::Globals;

/// Options of `doug status`.
#[derive(clap::Args)]
#[command(after_help = "\
One row a partition, one column a node: L leads, ok follows closely, -N lags by N
entries, ? does not answer. Exit status 5 if a partition has no leader.

Examples:
  doug status
  doug status -o json")]
pub struct Args {}

/// Runs the command.
pub async fn run(_args: Args, _globals: &Globals) -> anyhow::Result<Exit> {
    anyhow::bail!("waits for the client crate")
}
