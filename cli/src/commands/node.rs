//! `doug node`.

use super::layers;
use crate::exit::Exit;
use crate::units;
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

/// Options of `doug node`.
#[derive(clap::Args, Default)]
#[command(after_help = "\
Flags win over DOUG_NODE_* variables, which win over the file. The file is YAML
with the flags' names in camelCase:
  data: /var/lib/dougdb
  name: a-0
  cluster: a
  memoryBudget: 512MiB

A node with an empty volume waits for `doug create`. SIGTERM and SIGINT hand its
leaderships over and then stop it.

Examples:
  doug node --data /var/lib/dougdb --name a-0 --cluster a --address db0.example.com
  doug node --config /etc/dougdb/node.yaml")]
pub struct Args {
    /// YAML file with any of the options below
    #[arg(long, env = "DOUG_NODE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
}

/// What flags, environment and file can say alike.
#[derive(clap::Args, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Options {
    /// Folder with the node's data; made if it does not exist
    #[arg(long, env = "DOUG_NODE_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// Name for people, for instance a-0
    #[arg(long, env = "DOUG_NODE_NAME")]
    name: Option<String>,
    /// Cluster this node belongs to
    #[arg(long, env = "DOUG_NODE_CLUSTER")]
    cluster: Option<String>,
    /// Host name or IP address that others reach this node by [default: 127.0.0.1]
    #[arg(long, env = "DOUG_NODE_ADDRESS", value_name = "HOST")]
    address: Option<String>,
    /// IP address to listen on; 0.0.0.0 for all [default: 127.0.0.1]
    #[arg(long, env = "DOUG_NODE_LISTEN", value_name = "IP")]
    listen: Option<IpAddr>,
    /// Port for clients [default: 7400]
    #[arg(long, env = "DOUG_NODE_DOUG_PORT", value_name = "PORT")]
    doug_port: Option<u16>,
    /// Port for other nodes [default: 7401]
    #[arg(long, env = "DOUG_NODE_RAFT_PORT", value_name = "PORT")]
    raft_port: Option<u16>,
    /// Port for operators [default: 7402]
    #[arg(long, env = "DOUG_NODE_ADMIN_PORT", value_name = "PORT")]
    admin_port: Option<u16>,
    /// Port for probes and metrics [default: 7403]
    #[arg(long, env = "DOUG_NODE_HTTP_PORT", value_name = "PORT")]
    http_port: Option<u16>,
    /// Least election timeout; the greatest is twice that [default: 150]
    #[arg(long, env = "DOUG_NODE_ELECTION_TIMEOUT_MILLISECONDS", value_name = "N")]
    election_timeout_milliseconds: Option<u64>,
    /// Memory for memtables and caches [default: 512MiB]
    #[arg(long, env = "DOUG_NODE_MEMORY_BUDGET", value_name = "SIZE")]
    memory_budget: Option<String>,
    /// Most bytes of log kept on disk [default: 512MiB]
    #[arg(long, env = "DOUG_NODE_LOG_LIMIT", value_name = "SIZE")]
    log_limit: Option<String>,
    /// Threads that own replicas [default: one a core, at most 8]
    #[arg(long, env = "DOUG_NODE_HOSTS", value_name = "N")]
    hosts: Option<usize>,
}

/// Runs until told to stop.
pub async fn run(_args: Args) -> anyhow::Result<Exit> {
    anyhow::bail!("waits for its crate")
}
