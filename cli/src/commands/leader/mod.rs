//! `doug leader`: leaderships, handed over by hand.

mod transfer;

use crate::exit::Exit;
use crate::globals::Globals;

/// Options of `doug leader`.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Hand the leadership of partitions to another node
    Transfer(transfer::Args),
}

/// Runs the command.
pub async fn run(args: Args, globals: &Globals) -> anyhow::Result<Exit> {
    match args.command {
        Command::Transfer(args) => transfer::run(args, globals).await,
    }
}
