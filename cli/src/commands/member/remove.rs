//! `doug member remove`.

use super::add::size;
use crate::commands::steering::{Reach, named};
use crate::exit::{Exit, usage};
use crate::globals::Globals;
use anyhow::Context;
use doug_client::PartitionMap;
use doug_proto::map::Node;
use serde_json::json;

/// Options of `doug member remove`.
#[derive(clap::Args)]
#[command(after_help = "\
For a node that holds no replica: a spare one, or one whose partitions have moved.
Its id never comes back; with an empty volume, the same machine can join again. A
cluster that holds partitions keeps as many nodes as it was declared with.

Examples:
  doug member remove a-5
  doug member remove a-4 --cluster-size 3     a cluster shrinks whose partitions have moved")]
pub struct Args {
    /// Name or id of the node
    #[arg(value_name = "NODE")]
    node: String,
    /// Nodes that its cluster is to have from now on: 1, 3, 5 or 7
    #[arg(long, value_name = "N", value_parser = size)]
    cluster_size: Option<u32>,
    #[command(flatten)]
    reach: Reach,
}

/// Runs the command.
pub async fn run(args: Args, globals: &Globals) -> anyhow::Result<Exit> {
    let steering = args.reach.steering(globals).await?;
    let survey = steering.survey().await?;
    let lost = |id| survey.nodes.get(&id).is_none_or(Result::is_err);
    let node = named(&survey.map, &args.node, lost)?;
    if !node.is_removed() {
        enough_without(&survey.map, node, args.cluster_size)?;
        let removing = || format!("removing {} ({})", node.name, node.id);
        steering.remove_node(node.id).await.with_context(removing)?;
    }
    // After it: a node that is refused leaves the declared number as it was.
    if let Some(size) = args.cluster_size {
        let declaring = || format!("declaring {size} nodes of cluster {}", node.cluster);
        steering.declare(&node.cluster, size).await.with_context(declaring)?;
    }
    if globals.json() {
        doug_streams::outln!("{}", json!({"removed": node.id.to_string(), "name": node.name}));
    } else {
        doug_streams::outln!("{} ({}) is no longer part of the database", node.name, node.id);
    }
    Ok(Exit::Done)
}

/// # Errors
/// Without the node its cluster, which holds partitions, has fewer than it is to have.
fn enough_without(map: &PartitionMap, node: &Node, asked: Option<u32>) -> anyhow::Result<()> {
    let cluster = &node.cluster;
    let holds = map.partitions.iter().any(|partition| {
        let goal = partition.goal.as_ref().map(|goal| &goal.cluster);
        partition.cluster == *cluster || goal == Some(cluster)
    });
    let Some(declared) = asked.or_else(|| map.cluster(cluster).map(|c| c.nodes)) else {
        return Ok(());
    };
    let left = map.present().filter(|one| one.cluster == *cluster && one.id != node.id).count();
    // One that holds replicas is refused by the nodes themselves, which name the partitions.
    let is_needed = map.partitions_of(node.id).next().is_some();
    if is_needed || !holds || left >= declared as usize {
        return Ok(());
    }
    Err(usage(format!(
        "cluster {cluster} is to have {declared} nodes, and without {} it has {left}: put another \
         in its place, `doug member replace {} --with NODE`, or say how many it is to have, \
         --cluster-size",
        node.name, node.id
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::steering::test_map;

    #[test]
    fn a_cluster_with_partitions_keeps_its_size_unless_another_is_said() {
        let mut map = test_map();
        assert!(enough_without(&map, &map.nodes[0], None).is_ok(), "the nodes say more");
        for partition in &mut map.partitions {
            partition.voters.remove(0);
        }
        let error = enough_without(&map, &map.nodes[0], None).unwrap_err().to_string();
        assert!(error.contains("is to have 3 nodes, and without a-0 it has 2"), "{error}");
        assert!(enough_without(&map, &map.nodes[0], Some(1)).is_ok());
        let spare = map.nodes.iter().find(|node| node.cluster == "c").unwrap();
        assert!(enough_without(&map, spare, None).is_ok(), "four of three declared");
        let empty = map.nodes.iter().find(|node| node.cluster == "b").unwrap();
        assert!(enough_without(&map, empty, None).is_ok(), "it holds nothing");
    }
}
