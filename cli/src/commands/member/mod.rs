//! `doug member`: nodes that come and go.

mod add;
mod plan;
mod remove;
mod replace;

use crate::exit::Exit;
use crate::globals::Globals;
use doug_proto::address::{host_port, port_of};

const ADMIN_PORT: u16 = 7402;

/// Options of `doug member`.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Make empty nodes members
    Add(add::Args),
    /// Put another node in the place of one that is gone for good
    Replace(replace::Args),
    /// Take a node that holds nothing out of the database, for good
    Remove(remove::Args),
}

/// Runs the command.
pub async fn run(args: Args, globals: &Globals) -> anyhow::Result<Exit> {
    match args.command {
        Command::Add(args) => add::run(args, globals).await,
        Command::Replace(args) => replace::run(args, globals).await,
        Command::Remove(args) => remove::run(args, globals).await,
    }
}

fn with_port(text: &str) -> String {
    match port_of(text) {
        Some(_) => text.to_owned(),
        None => host_port(text, ADMIN_PORT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_port_gets_the_usual_one() {
        assert_eq!(with_port("db9"), "db9:7402");
        assert_eq!(with_port("fd00::9"), "[fd00::9]:7402");
        assert_eq!(with_port("db9:8402"), "db9:8402");
    }
}
