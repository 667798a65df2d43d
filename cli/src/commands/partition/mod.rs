//! `doug partition`: where partitions are, and where they are to be.

mod cancel;
mod list;
mod moving;

use crate::exit::Exit;
use crate::globals::Globals;

/// Options of `doug partition`.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Show where partitions are, and what changes
    List(list::Args),
    /// Move partitions to another cluster, while they serve
    Move(moving::Args),
    /// Give up moves and replacements that are under way
    Cancel(cancel::Args),
}

/// Runs the command.
pub async fn run(args: Args, globals: &Globals) -> anyhow::Result<Exit> {
    match args.command {
        Command::List(args) => list::run(args, globals).await,
        Command::Move(args) => moving::run(args, globals).await,
        Command::Cancel(args) => cancel::run(args, globals).await,
    }
}
