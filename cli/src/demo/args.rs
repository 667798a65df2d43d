//! The command line of `doug demo`.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Options of `doug demo`.
#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  doug demo                       2 clusters of 5 nodes, 8 partitions
  doug demo --data ./shop         keep the data, and go on with it next time
  doug demo --tour                play the whole story, then exit
  doug demo status                (elsewhere) what runs, who leads
  doug demo kill leader:greeting  SIGKILL whoever leads the partition of a key
  doug demo restart a-0           start it again; it catches up
  doug demo wipe a-3              lose its volume; doug member replace a-3"
)]
pub struct Args {
    /// Act on the running demo instead of starting one
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to start one.
    #[command(flatten)]
    pub start: Start,
}

/// How to start a demo. What is absent is taken from the data, then from the defaults.
#[derive(clap::Args)]
pub struct Start {
    /// Clusters, each with its own nodes [default: 2]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=26))]
    pub clusters: Option<u32>,

    /// Nodes of each cluster: 1, 3, 5 or 7 [default: 5]
    #[arg(long, value_parser = nodes)]
    pub nodes: Option<u32>,

    /// Partitions, spread over the clusters [default: 8]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub partitions: Option<u32>,

    /// Keep the data here, and go on with it next time; else a temporary folder
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,

    /// Where the facade listens; port 0 means any [default: 127.0.0.1:7400]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,

    /// Write, read from a follower, kill a leader, read everything back, and exit
    #[arg(long)]
    pub tour: bool,
}

/// What can be done to a running demo.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Show every process, and which node leads which partition
    Status(Which),
    /// End nodes at once, as a crash would (SIGKILL)
    Kill(Names),
    /// Freeze nodes, as a long pause of the machine would (SIGSTOP)
    Pause(Names),
    /// Let paused nodes go on (SIGCONT)
    Resume(Names),
    /// Start nodes again; one that still runs is stopped cleanly first, unless `all` is said
    Restart(Names),
    /// Lose the volumes of nodes: they come back empty, as new ones (`doug member replace NODE`)
    Wipe(Names),
}

/// Which running demo is meant.
#[derive(clap::Args)]
pub struct Which {
    /// Data folder of the demo; else the one started last
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// Which processes of which demo.
#[derive(clap::Args)]
pub struct Names {
    /// The demo.
    #[command(flatten)]
    pub which: Which,

    /// a-0, `facade`, `all` (every node), leader:KEY or leader:P3 (who leads that key or partition)
    #[arg(required = true, value_name = "NODE")]
    pub nodes: Vec<String>,
}

fn nodes(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(count @ (1 | 3 | 5 | 7)) => Ok(count),
        _ => Err("a cluster has 1, 3, 5 or 7 nodes: an even one survives no more".into()),
    }
}
