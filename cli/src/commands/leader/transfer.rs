//! `doug leader transfer`.

use crate::commands::steering::{Follower, Reach, Which, named, names_of};
use crate::exit::{Exit, usage};
use crate::globals::Globals;
use anyhow::Context;
use doug_client::Fault;
use doug_client::admin::{Intent, Steering};
use doug_proto::ids::NodeId;
use doug_proto::map::{Goal, Partition};
use serde_json::json;
use std::sync::Arc;
use tonic::Code;

/// Options of `doug leader transfer`.
#[derive(clap::Args)]
#[command(after_help = "\
With --to, the node also becomes the first of the partition's voters, who keeps its
leadership from then on; with --once it does not, and the first voter takes the
leadership back after five seconds. Without --to, the most caught-up other voter
leads, for as long.

Examples:
  doug leader transfer 3 --to a-2
  doug leader transfer 1,2,5-7 --to a-2 --once
  doug leader transfer 3")]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Name or id of the node that is to lead
    #[arg(long, value_name = "NODE")]
    to: Option<String>,
    /// Leave the order of the voters as it is
    #[arg(long, requires = "to")]
    once: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Runs the command.
pub async fn run(args: Args, globals: &Globals) -> anyhow::Result<Exit> {
    let steering = Arc::new(args.reach.steering(globals).await?);
    let survey = steering.survey().await?;
    let lost = |id| survey.nodes.get(&id).is_none_or(Result::is_err);
    let to = match &args.to {
        Some(text) => Some(named(&survey.map, text, |id| !lost(id))?.id),
        None => None,
    };
    let ids = args.which.ids(&survey.map)?;
    if let Some(node) = to {
        let mut partitions = ids.iter().filter_map(|id| survey.descriptor(*id));
        if let Some(partition) = partitions.find(|partition| partition.voter_on(node).is_none()) {
            let voters = partition.voters.iter().map(|voter| voter.node);
            return Err(usage(format!(
                "{} holds no voter of partition {}: these nodes do: {}",
                names_of(&survey.map, [node]).concat(),
                partition.id,
                names_of(&survey.map, voters).join(", ")
            )));
        }
    }
    let mut all = Vec::new();
    for id in ids {
        let handing = || format!("handing over the leadership of partition {id}");
        if let Some(node) = to.filter(|_| !args.once) {
            prefer(&steering, id, node).await.with_context(handing)?;
        }
        let leader = steering.transfer_leader(id, to).await.with_context(handing)?;
        let name = names_of(&survey.map, [leader]).concat();
        if !globals.json() {
            doug_streams::outln!("{name} leads partition {id}");
        }
        all.push(json!({"id": id, "leader": leader.to_string(), "name": name}));
    }
    if globals.json() {
        doug_streams::outln!("{}", json!({"partitions": all}));
    }
    Ok(Exit::Done)
}

/// Makes the node the first voter, or its predecessor would take the leadership
/// back.
async fn prefer(steering: &Arc<Steering>, partition: u64, node: NodeId) -> Result<(), Fault> {
    let begun = steering.steer(partition, |now| first(now, node)).await?;
    Follower::quiet(steering).until_at_rest(&begun).await?;
    Ok(())
}

fn first(now: &Partition, node: NodeId) -> Result<Intent, Fault> {
    if now.voters.first().is_some_and(|voter| voter.node == node) {
        return Ok(Intent::Keep);
    }
    if !now.is_at_rest() {
        return Err(Fault::new(
            Code::FailedPrecondition,
            "its members are changing: wait for the end of that, or give --once",
        ));
    }
    let others = now.voters.iter().map(|voter| voter.node).filter(|other| *other != node);
    Ok(Intent::Reach(Goal {
        nodes: std::iter::once(node).chain(others).collect(),
        cluster: now.cluster.clone(),
        discarded: Vec::new(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::steering::test_map;

    fn partition() -> Partition {
        test_map().partitions[0].clone()
    }

    fn nodes() -> Vec<NodeId> {
        partition().voters.iter().map(|voter| voter.node).collect()
    }

    #[test]
    fn the_node_becomes_the_first_voter_and_the_others_keep_their_order() {
        let nodes = nodes();
        let Ok(Intent::Reach(goal)) = first(&partition(), nodes[2]) else { panic!("no goal") };
        assert_eq!(goal.nodes, [nodes[2], nodes[0], nodes[1]]);
        assert_eq!(first(&partition(), nodes[0]), Ok(Intent::Keep));
    }

    #[test]
    fn while_members_change_their_order_is_left_alone() {
        let goal = Goal { nodes: nodes(), cluster: "b".into(), discarded: Vec::new() };
        let moving = Partition { goal: Some(goal), ..partition() };
        assert!(first(&moving, nodes()[2]).unwrap_err().message.contains("--once"));
    }
}
