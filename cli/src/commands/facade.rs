//! `doug facade`.

use super::{layers, stop};
use crate::exit::{Exit, usage};
use crate::given::Given;
use crate::globals::Globals;
use doug_facade::{Config, MapOrigin};
use serde::Deserialize;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// Options of `doug facade`.
#[derive(clap::Args)]
#[command(after_help = "\
Flags win over DOUG_FACADE_* variables, which win over the file. The file is
YAML with the flags' names in camelCase. Exactly one of --map-file, --nodes and
--dougcluster says where the partition map comes from; but --nodes beside
--dougcluster are asked while the API server does not answer.

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
#[group(skip)]
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
    /// DougCluster whose status has the partition map; needs a way to the API server
    #[arg(long, env = "DOUG_FACADE_DOUGCLUSTER", value_name = "NAMESPACE/NAME")]
    dougcluster: Option<String>,
    /// Most bytes of requests and answers under way [default: 256MiB]
    #[arg(long, env = "DOUG_FACADE_MEMORY_BUDGET", value_name = "SIZE")]
    memory_budget: Option<String>,
    /// Most connections of clients at a time [default: half the limit of open files, at most 4096]
    #[arg(long, env = "DOUG_FACADE_MAX_CONNECTIONS", value_name = "N")]
    max_connections: Option<usize>,
}

const PORT: u16 = 7400;
const MEMORY_BUDGET: u64 = 256 << 20;

/// Runs a facade until told to stop.
pub async fn run(args: Args, globals: &Globals) -> anyhow::Result<Exit> {
    crate::demo::child::die_with_parent()?;
    let file = layers::read(args.config.as_deref())?;
    let config = args.options.prefer(&globals.given).over(file).config()?;
    doug_facade::run(config, stop::signal()?).await?;
    Ok(Exit::Done)
}

impl Options {
    /// Where the map comes from is said once: a flag hides what the environment says of it.
    fn prefer(mut self, given: &Given) -> Self {
        let flags = ["map_file", "nodes", "dougcluster"].map(|id| given.has(id));
        if flags.contains(&true) {
            let [map_file, nodes, dougcluster] = flags;
            self.map_file = self.map_file.filter(|_| map_file);
            self.nodes = self.nodes.filter(|_| nodes);
            self.dougcluster = self.dougcluster.filter(|_| dougcluster);
        }
        self
    }

    fn over(self, file: Options) -> Self {
        // They exclude each other: one on the command line hides all below.
        let here = self.map_file.is_some() || self.nodes.is_some() || self.dougcluster.is_some();
        let (map_file, nodes, dougcluster) = if here {
            (self.map_file, self.nodes, self.dougcluster)
        } else {
            (file.map_file, file.nodes, file.dougcluster)
        };
        Self {
            listen: self.listen.or(file.listen),
            http: self.http.or(file.http),
            map_file,
            nodes,
            dougcluster,
            memory_budget: self.memory_budget.or(file.memory_budget),
            max_connections: self.max_connections.or(file.max_connections),
        }
    }

    fn config(self) -> anyhow::Result<Config> {
        let listen = self.listen.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, PORT).into());
        let beside = || SocketAddr::new(listen.ip(), listen.port().saturating_add(3));
        let map = match (self.map_file, self.nodes, self.dougcluster) {
            (Some(file), None, None) => MapOrigin::File(file),
            (None, Some(nodes), None) if !nodes.is_empty() => MapOrigin::Nodes(nodes),
            (None, nodes, Some(text)) => dougcluster(&text, nodes.unwrap_or_default())?,
            (None, None | Some(_), None) => {
                return Err(usage(
                    "give --map-file FILE, --nodes HOST:PORT,… or --dougcluster NAMESPACE/NAME: \
                     the facade must learn the partition map from somewhere",
                ));
            }
            _ => {
                return Err(usage(
                    "give only one of --map-file, --nodes and --dougcluster; only --nodes may \
                     stand beside --dougcluster",
                ));
            }
        };
        let budget = layers::size("memoryBudget", self.memory_budget.as_deref())?;
        Ok(Config {
            listen,
            http: self.http.unwrap_or_else(beside),
            map,
            memory_budget: usize::try_from(budget.unwrap_or(MEMORY_BUDGET))?,
            max_connections: self.max_connections,
        })
    }
}

fn dougcluster(text: &str, nodes: Vec<String>) -> anyhow::Result<MapOrigin> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
            of_kubernetes(namespace, name, nodes)
        }
        _ => Err(usage(format!("{text:?} is no DougCluster: give NAMESPACE/NAME"))),
    }
}

#[cfg(feature = "kubernetes")]
fn of_kubernetes(namespace: &str, name: &str, nodes: Vec<String>) -> anyhow::Result<MapOrigin> {
    Ok(MapOrigin::Kubernetes { namespace: namespace.into(), name: name.into(), nodes })
}

#[cfg(not(feature = "kubernetes"))]
fn of_kubernetes(_: &str, _: &str, _: Vec<String>) -> anyhow::Result<MapOrigin> {
    Err(super::built_without_kubernetes("facades that read a DougCluster"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(yaml: &str) -> Options {
        serde_yaml_ng::from_str(yaml).unwrap()
    }

    #[test]
    fn what_is_closer_wins_and_the_rest_is_default() {
        let flags = options("listen: 0.0.0.0:9000");
        let file = options("{listen: 1.2.3.4:5, nodes: ['a:7400'], memoryBudget: 64MiB}");
        let config = flags.over(file).config().unwrap();
        assert_eq!(config.listen, "0.0.0.0:9000".parse().unwrap());
        assert_eq!(config.http, "0.0.0.0:9003".parse().unwrap());
        assert_eq!(config.map, MapOrigin::Nodes(vec!["a:7400".into()]));
        assert_eq!(config.memory_budget, 64 << 20);
    }

    #[test]
    fn the_map_comes_from_exactly_one_place() {
        assert!(options("{}").config().is_err());
        assert!(options("{nodes: ['a:1'], mapFile: m}").config().is_err());
        assert!(options("{dougcluster: shop/orders, mapFile: m}").config().is_err());
        assert!(options("dougcluster: orders").config().is_err());
        assert!(
            options("{dougcluster: shop/orders, mapFile: m, nodes: ['a:1']}").config().is_err()
        );
        let flag_hides_file = options("mapFile: m").over(options("nodes: ['a:1']"));
        assert_eq!(flag_hides_file.config().unwrap().map, MapOrigin::File("m".into()));
    }

    #[cfg(feature = "kubernetes")]
    #[test]
    fn nodes_may_stand_in_for_the_api_server() {
        let config = options("{dougcluster: shop/orders, nodes: ['a:1']}").config().unwrap();
        let (namespace, name, nodes) = ("shop".into(), "orders".into(), vec!["a:1".into()]);
        assert_eq!(config.map, MapOrigin::Kubernetes { namespace, name, nodes });
    }

    #[test]
    fn a_flag_hides_what_the_environment_says_of_the_map() {
        let command = <Args as clap::Args>::augment_args(clap::Command::new("facade"));
        let matches = command.get_matches_from(["facade", "--map-file", "m"]);
        let both = || options("{mapFile: m, nodes: ['a:1']}");
        let config = both().prefer(&Given::of(&matches)).config().unwrap();
        assert_eq!(config.map, MapOrigin::File("m".into()));
        assert!(both().prefer(&Given::default()).config().is_err(), "two variables");
    }

    #[test]
    fn an_unknown_field_of_the_file_is_refused_by_name() {
        let error = serde_yaml_ng::from_str::<Options>("lissten: 1.2.3.4:5").err().unwrap();
        assert!(error.to_string().contains("lissten"), "{error}");
    }
}
