//! `doug node`.

use super::{layers, stop};
use crate::exit::{Exit, usage};
use doug_node::Config;
use doug_proto::map::Ports;
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
#[group(skip)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Options {
    /// File with the token that Raft and Admin calls must show [default: none is asked for]
    #[arg(long, env = "DOUG_NODE_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
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
    /// IP address to listen on; :: for all, of IPv6 and IPv4 [default: 127.0.0.1]
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
    /// Most connections of clients at a time [default: half the limit of open files, at most 4096]
    #[arg(long, env = "DOUG_NODE_MAX_CONNECTIONS", value_name = "N")]
    max_connections: Option<usize>,
    /// Most bytes of log kept on disk [default: 512MiB]
    #[arg(long, env = "DOUG_NODE_LOG_LIMIT", value_name = "SIZE")]
    log_limit: Option<String>,
    /// Threads that own replicas [default: one for two cores, at most 8]
    #[arg(long, env = "DOUG_NODE_HOSTS", value_name = "N")]
    hosts: Option<usize>,
    /// Let leaders answer linearizable reads without asking their peers. Set it on
    /// all nodes or none; it trusts that no clock runs 1 % faster than another
    #[arg(long, env = "DOUG_NODE_READ_LEASES", value_name = "true|false", num_args = 0..=1,
          default_missing_value = "true")]
    read_leases: Option<bool>,
    /// How long a partition is idle before its replicas stop sending heartbeats for it;
    /// 0: never, nor do partitions led elsewhere that have a replica here [default: 3000]
    #[arg(long, env = "DOUG_NODE_QUIESCE_AFTER_MILLISECONDS", value_name = "N")]
    quiesce_after_milliseconds: Option<u64>,
}

const ELECTION_TIMEOUT_MILLISECONDS: u64 = 150;
const MEMORY_BUDGET: u64 = 512 << 20;
const LOG_LIMIT: u64 = 512 << 20;
const MOST_HOSTS: usize = 8;

/// Runs a node until told to stop.
pub async fn run(args: Args) -> anyhow::Result<Exit> {
    crate::demo::child::die_with_parent()?;
    let file = layers::read(args.config.as_deref())?;
    let config = args.options.over(file).config()?;
    doug_node::run(config, stop::signal()?).await?;
    Ok(Exit::Done)
}

impl Options {
    fn over(self, file: Options) -> Self {
        Self {
            token_file: self.token_file.or(file.token_file),
            data: self.data.or(file.data),
            name: self.name.or(file.name),
            cluster: self.cluster.or(file.cluster),
            address: self.address.or(file.address),
            listen: self.listen.or(file.listen),
            doug_port: self.doug_port.or(file.doug_port),
            raft_port: self.raft_port.or(file.raft_port),
            admin_port: self.admin_port.or(file.admin_port),
            http_port: self.http_port.or(file.http_port),
            election_timeout_milliseconds: self
                .election_timeout_milliseconds
                .or(file.election_timeout_milliseconds),
            memory_budget: self.memory_budget.or(file.memory_budget),
            max_connections: self.max_connections.or(file.max_connections),
            log_limit: self.log_limit.or(file.log_limit),
            hosts: self.hosts.or(file.hosts),
            read_leases: self.read_leases.or(file.read_leases),
            quiesce_after_milliseconds: self
                .quiesce_after_milliseconds
                .or(file.quiesce_after_milliseconds),
        }
    }

    fn config(self) -> anyhow::Result<Config> {
        let data = self.data.ok_or_else(|| {
            usage("give --data DIR: the folder of this node's volume, its own and no other's")
        })?;
        let budget = layers::size("memoryBudget", self.memory_budget.as_deref())?;
        let log_limit = layers::size("logLimit", self.log_limit.as_deref())?;
        let usual = Ports::default();
        let ports = Ports {
            doug: self.doug_port.unwrap_or(usual.doug),
            raft: self.raft_port.unwrap_or(usual.raft),
            admin: self.admin_port.unwrap_or(usual.admin),
            http: self.http_port.unwrap_or(usual.http),
        };
        different(&ports)?;
        Ok(Config {
            data,
            name: self.name.unwrap_or_default(),
            cluster: self.cluster.unwrap_or_default(),
            address: self.address.unwrap_or_else(|| Ipv4Addr::LOCALHOST.to_string()),
            listen: self.listen.unwrap_or(Ipv4Addr::LOCALHOST.into()),
            ports,
            election_timeout_milliseconds: self
                .election_timeout_milliseconds
                .unwrap_or(ELECTION_TIMEOUT_MILLISECONDS),
            memory_budget: budget.unwrap_or(MEMORY_BUDGET),
            max_connections: self.max_connections,
            log_limit: log_limit.unwrap_or(LOG_LIMIT),
            hosts: self.hosts.unwrap_or_else(half_the_cores),
            read_leases: self.read_leases.unwrap_or(false),
            quiesce_after_milliseconds: self
                .quiesce_after_milliseconds
                .unwrap_or(doug_node::host::QUIESCE_AFTER.as_millis() as u64),
            // The rest is for the log, peers and clients.
            open_tables: (doug_edge::descriptors::limit() / 4) as usize,
            access: layers::token(self.token_file.as_deref())?,
        })
    }
}

fn different(ports: &Ports) -> anyhow::Result<()> {
    let all = [ports.doug, ports.raft, ports.admin, ports.http];
    for (place, port) in all.iter().enumerate() {
        if all[..place].contains(port) {
            return Err(usage(format!(
                "port {port} is given twice: a node needs four different ports (--doug-port, \
                 --raft-port, --admin-port, --http-port)"
            )));
        }
    }
    Ok(())
}

/// Log, trees and transport want cores, too.
fn half_the_cores() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores / 2).clamp(1, MOST_HOSTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(yaml: &str) -> Options {
        serde_yaml_ng::from_str(yaml).unwrap()
    }

    #[test]
    fn what_is_closer_wins_and_the_rest_is_default() {
        let flags = options("{data: /flag, raftPort: 9001}");
        let file = options("{data: /file, name: a-0, memoryBudget: 64MiB, raftPort: 1}");
        let config = flags.over(file).config().unwrap();
        assert_eq!(config.data, PathBuf::from("/flag"));
        assert_eq!(config.name, "a-0");
        assert_eq!(config.memory_budget, 64 << 20);
        assert_eq!((config.ports.doug, config.ports.raft), (7400, 9001));
    }

    #[test]
    fn without_a_folder_for_its_data_a_node_does_not_start() {
        let error = options("{}").config().err().unwrap();
        assert!(error.to_string().contains("--data"), "{error}");
    }

    #[test]
    fn a_size_that_is_none_is_refused_with_its_name() {
        let error = options("{data: /d, logLimit: 64MB}").config().err().unwrap();
        assert!(format!("{error:#}").contains("logLimit"), "{error:#}");
    }

    #[test]
    fn times_beyond_reason_are_refused_with_their_range() {
        for name in ["electionTimeoutMilliseconds", "quiesceAfterMilliseconds"] {
            let options = options(&format!("{{data: /d, {name}: {}}}", u64::MAX));
            let error = options.config().unwrap().check().unwrap_err().to_string();
            assert!(error.contains("must be 10 to 60000") || error.contains("at most 86400000"));
        }
    }

    #[test]
    fn one_port_for_two_things_is_refused() {
        let error = options("{data: /d, httpPort: 7400}").config().err().unwrap();
        assert!(error.to_string().contains("7400 is given twice"), "{error}");
    }
}
