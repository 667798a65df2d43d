//! `doug status`.

mod ask;
mod json;
mod text;
mod view;
mod watch;

use crate::exit::Exit;
use crate::globals::Globals;
use crate::live;
use crate::units;
use anyhow::Context;
pub use ask::{Look, ask, look};
use doug_streams::out;
pub use json::state_name;
use std::time::Duration;
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
partition has had its leader, or none. `size` is what its data take on one node.
Exit status 5 if a partition has no leader.

Examples:
  doug status
  doug status --watch --interval 500ms
  doug status -o json")]
pub struct Args {
    /// Show it again and again, on a terminal in place, until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// With --watch: time between two looks
    #[arg(
        long,
        value_name = "TIME",
        value_parser = units::parse_duration,
        default_value = "2s",
        requires = "watch"
    )]
    interval: Duration,
}

/// Runs the command.
pub async fn run(args: Args, globals: &Globals) -> anyhow::Result<Exit> {
    if args.watch {
        return watch::run(args.interval, globals).await;
    }
    let view = ask(|| globals.builder()).await.context("the state is not known")?;
    if globals.json() {
        doug_streams::outln!("{}", json::document(&view));
    } else {
        let text = text::render(&view, out::columns());
        doug_streams::outln!("{}", live::fit(&text, out::columns()));
    }
    let leaderless = view.partitions.iter().any(|partition| partition.leader.is_none());
    Ok(if leaderless { Exit::Unavailable } else { Exit::Done })
}
