//! `doug create`.

use crate::exit::Exit;
use crate::globals::Globals;
use std::path::PathBuf;

/// Options of `doug create`.
#[derive(clap::Args)]
pub struct Args {
    /// What to create, as YAML
    #[arg(long, value_name = "SPEC")]
    file: PathBuf,
    /// Also write the first partition map to this file
    #[arg(long, value_name = "FILE")]
    map_out: Option<PathBuf>,
}

/// Runs the command.
pub async fn run(_args: Args, _globals: &Globals) -> anyhow::Result<Exit> {
    anyhow::bail!("waits for the client crate")
}
