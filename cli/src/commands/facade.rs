//! `doug facade`.

use super::layers;
use crate::exit::Exit;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Options of `doug facade`.
#[derive(clap::Args)]
#[command(after_help = "\
Flags win over DOUG_FACADE_* variables, which win over the file. The file is
YAML with the flags' names in camelCase. Exactly one of --map-file and --nodes
says where the partition map comes from.

Examples:
  doug facade --listen 0.0.0.0:7400 --nodes db0:7400,db1:7400,db2:7400
  doug facade --map-file /etc/dougdb/map.json")]
pub struct Args {
    /// YAML file with any of the options below
    #[arg(long, env = "DOUG_FACADE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
}

/// What flags, environment and file can say alike.
#[derive(clap::Args, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Options {
    /// Where clients connect [default: 127.0.0.1:7400]
    #[arg(long, env = "DOUG_FACADE_LISTEN", value_name = "IP:PORT")]
    listen: Option<SocketAddr>,
    /// Probes and metrics [default: the port of --listen plus 3]
    #[arg(long, env = "DOUG_FACADE_HTTP", value_name = "IP:PORT")]
    http: Option<SocketAddr>,
    /// Partition map as a file, read again whenever it changes
    #[arg(long, env = "DOUG_FACADE_MAP_FILE", value_name = "FILE")]
    map_file: Option<PathBuf>,
    /// Nodes to get the partition map from; a few that are usually up suffice
    #[arg(long, env = "DOUG_FACADE_NODES", value_name = "HOST:PORT", value_delimiter = ',')]
    nodes: Option<Vec<String>>,
    /// Most bytes of requests and answers under way [default: 256MiB]
    #[arg(long, env = "DOUG_FACADE_MEMORY_BUDGET", value_name = "SIZE")]
    memory_budget: Option<String>,
}

/// Runs until told to stop.
pub async fn run(_args: Args) -> anyhow::Result<Exit> {
    anyhow::bail!("waits for its crate")
}
