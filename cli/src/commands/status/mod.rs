//! `doug status`.

mod ask;
mod json;
mod text;
mod view;

use crate::exit::Exit;
use crate::globals::Globals;
use anyhow::Context;
pub use ask::ask;
#[cfg(test)]
pub use view::Change;
#[cfg(test)]
pub use view::tests;
pub use view::{Node, Partition, Place, Shortage, View};

/// Options of `doug status`.
#[derive(clap::Args)]
#[command(after_help = "\
One row a partition, one column a node: L leads, = has all the leader has, -N
lags by N entries, ? is not known, down does not answer. `since` is how long the
partition has had its leader, or none.
Exit status 5 if a partition has no leader.

Examples:
  doug status
  doug status -o json")]
pub struct Args {}

/// Runs the command.
pub async fn run(_args: Args, globals: &Globals) -> anyhow::Result<Exit> {
    let view = ask(globals, || globals.builder()).await.context("the state is not known")?;
    if globals.json() {
        doug_streams::outln!("{}", json::document(&view));
    } else {
        doug_streams::outln!("{}", text::render(&view));
    }
    let leaderless = view.partitions.iter().any(|partition| partition.leader.is_none());
    Ok(if leaderless { Exit::Unavailable } else { Exit::Done })
}
