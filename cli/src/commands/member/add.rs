//! `doug member add`.

use super::with_port;
use crate::commands::steering::Reach;
use crate::exit::{Exit, usage};
use crate::globals::Globals;
use anyhow::Context;
use doug_client::PartitionMap;
use doug_proto::v1::MapNode;
use serde_json::json;
use std::collections::BTreeMap;

/// Options of `doug member add`.
#[derive(clap::Args)]
#[command(after_help = "\
An empty node becomes a member, without replicas: those come with `doug partition
move` or `doug member replace`. Nodes of a cluster that was not there before make it
one, of so many nodes. Again changes nothing.

Examples:
  doug member add db5.example.com:7402
  doug member add db10:7402 db11:7402 db12:7402      a cluster more, if they say so
  doug member add db3:7402 db4:7402 --cluster-size 5 a cluster of three grows")]
pub struct Args {
    /// Admin addresses of the nodes
    #[arg(value_name = "HOST:PORT", required = true)]
    addresses: Vec<String>,
    /// Nodes that their cluster is to have from now on: 1, 3, 5 or 7
    #[arg(long, value_name = "N", value_parser = size)]
    cluster_size: Option<u32>,
    #[command(flatten)]
    reach: Reach,
}

/// Runs the command.
pub async fn run(args: Args, globals: &Globals) -> anyhow::Result<Exit> {
    let steering = args.reach.steering(globals).await?;
    let known = steering.survey().await?.map;
    let mut found = Vec::new();
    for address in &args.addresses {
        let address = with_port(address);
        let adding = || format!("adding the node at {address}");
        let described = steering.admin_at(&address)?.describe(false).await.with_context(adding)?;
        found.push((address, described.node.unwrap_or_default()));
    }
    // Before the first one joins: a typing error changes nothing.
    let sizes = sizes(&known, &found, args.cluster_size)?;
    let mut all = Vec::new();
    for (address, said) in &found {
        let adding = || format!("adding the node at {address}");
        let node = steering.join(address, &said.cluster, &said.id).await.with_context(adding)?;
        if !globals.json() {
            doug_streams::outln!(
                "{} ({}) is a member, in cluster {}",
                node.name,
                node.id,
                node.cluster
            );
        }
        all.push(json!({"id": node.id.to_string(), "name": node.name, "cluster": node.cluster}));
    }
    for (cluster, size) in sizes {
        let declaring = || format!("declaring {size} nodes of cluster {cluster}");
        steering.declare(&cluster, size).await.with_context(declaring)?;
    }
    if globals.json() {
        doug_streams::outln!("{}", json!({"nodes": all}));
    }
    Ok(Exit::Done)
}

/// How many nodes clusters are declared with from now on: as asked for, or, of a cluster
/// that is new, as many as it gets.
fn sizes(
    known: &PartitionMap,
    found: &[(String, MapNode)],
    asked: Option<u32>,
) -> anyhow::Result<BTreeMap<String, u32>> {
    let mut sizes: BTreeMap<String, u32> = BTreeMap::new();
    for (address, said) in found {
        if said.cluster.is_empty() {
            return Err(usage(format!(
                "the node at {address} does not say which cluster it belongs to: start it with \
                 --cluster NAME"
            )));
        }
        *sizes.entry(said.cluster.clone()).or_default() += 1;
    }
    sizes.retain(|cluster, _| asked.is_some() || known.cluster(cluster).is_none());
    for (cluster, size) in &mut sizes {
        *size = asked.unwrap_or(*size);
        if !is_size(*size) {
            return Err(usage(format!(
                "cluster {cluster} is new and would have {size} nodes: {SIZES}. Say how many it \
                 is to have, --cluster-size"
            )));
        }
    }
    Ok(sizes)
}

const SIZES: &str = "a cluster has 1, 3, 5 or 7 nodes, for an even one survives no more";

fn is_size(count: u32) -> bool {
    matches!(count, 1 | 3 | 5 | 7)
}

/// Reads how many nodes a cluster is to have.
pub fn size(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|count| is_size(*count)).ok_or_else(|| SIZES.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::steering::test_map;

    fn declared(clusters: &[&str], asked: Option<u32>) -> Result<Vec<(String, u32)>, String> {
        let node = |cluster: &&str| MapNode { cluster: (*cluster).into(), ..Default::default() };
        let found: Vec<_> = clusters.iter().map(|c| ("db:7402".to_owned(), node(c))).collect();
        let sizes = sizes(&test_map(), &found, asked).map_err(|error| error.to_string())?;
        Ok(sizes.into_iter().collect())
    }

    #[test]
    fn a_new_cluster_is_declared_with_the_nodes_it_gets() {
        assert_eq!(declared(&["n", "n", "n"], None), Ok(vec![("n".into(), 3)]));
        assert!(declared(&["n", "n"], None).unwrap_err().contains("--cluster-size"));
        assert_eq!(declared(&["n", "n"], Some(3)), Ok(vec![("n".into(), 3)]));
    }

    #[test]
    fn a_known_one_keeps_its_size_unless_another_is_asked_for() {
        assert_eq!(declared(&["a"], None), Ok(vec![]));
        assert_eq!(declared(&["a", "a"], Some(5)), Ok(vec![("a".into(), 5)]));
        assert!(declared(&[""], None).unwrap_err().contains("--cluster NAME"));
    }

    #[test]
    fn an_even_size_is_refused() {
        assert!(size("4").unwrap_err().contains("1, 3, 5 or 7"));
        assert_eq!(size("5"), Ok(5));
    }
}
