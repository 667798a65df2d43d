//! `doug demo`: a whole database on this machine.

use crate::exit::Exit;
use crate::globals::Globals;

/// Options of `doug demo`.
#[derive(clap::Args)]
pub struct Args {}

/// Runs the demo until it is told to stop.
pub async fn run(_args: Args, _globals: &Globals) -> anyhow::Result<Exit> {
    anyhow::bail!("the demo is not built in yet")
}
