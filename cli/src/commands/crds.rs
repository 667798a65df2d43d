//! `doug crds`.

use crate::exit::Exit;

/// Options of `doug crds`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  doug crds | kubectl apply --server-side -f -")]
pub struct Args {}

/// Runs the command.
pub fn run(_args: &Args) -> anyhow::Result<Exit> {
    doug_streams::out!("{}", doug_crds::yaml());
    Ok(Exit::Done)
}
