//! `doug partition move`.

use super::list::document;
use crate::commands::steering::{Ended, Follower, Reach, Which, destination, names_of};
use crate::exit::Exit;
use crate::globals::Globals;
use anyhow::Context;
use doug_client::Fault;
use doug_client::admin::{Intent, Steering, Survey};
use doug_proto::map::{Goal, Partition};
use futures::stream::{StreamExt, TryStreamExt};
use serde_json::json;
use std::sync::Arc;
use tonic::Code;

/// Options of `doug partition move`.
#[derive(clap::Args)]
#[command(after_help = "\
A partition gets learners on the nodes of the cluster; once they have caught up,
old and new voters decide together for a moment, and the old ones are left out
and removed. It serves reads and writes all the time. Whoever leads carries it
out, so it goes on without this command: Ctrl-C only ends the looking.

Examples:
  doug partition move 3 --to b
  doug partition move 1,2,5-7 --to b --at-once 2
  doug partition move --all --to b --no-wait
  doug partition list --all              how far they are
  doug partition cancel 3                give it up")]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Cluster to move to
    #[arg(long, value_name = "CLUSTER")]
    to: String,
    /// Partitions to move at the same time
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 4,
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    at_once: u16,
    /// Only say where they are to be; do not wait until they are there
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Runs the command.
pub async fn run(args: Args, globals: &Globals) -> anyhow::Result<Exit> {
    let steering = Arc::new(args.reach.steering(globals).await?);
    let survey = steering.survey().await?;
    let ids = args.which.ids(&survey.map)?;
    let goals = goals(&survey, &ids, &args.to)?;
    let moves = async {
        let follower = Follower::start(&steering);
        let each = goals.iter().map(|(id, goal)| carry_out(&follower, *id, goal, args.no_wait));
        let at_once = usize::from(args.at_once);
        futures::stream::iter(each).buffered(at_once).try_collect::<Vec<_>>().await
    };
    let ended = tokio::select! {
        ended = moves => ended?,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.context("cannot wait for Ctrl-C")?;
            let hint = "The moves that have begun go on: `doug partition list --all` shows them, \
                        `doug partition cancel --all` gives them up. Others were not begun.";
            doug_streams::errln!("{}", globals.given.repeated_in(hint));
            return Ok(Exit::Error);
        }
    };
    report(&steering, &ended, globals).await?;
    Ok(Exit::Done)
}

/// All goals, before the first is taken up: a typing error moves nothing.
fn goals(survey: &Survey, ids: &[u64], cluster: &str) -> anyhow::Result<Vec<(u64, Goal)>> {
    let answers = |node| survey.nodes.get(&node).is_some_and(Result::is_ok);
    ids.iter().map(|id| Ok((*id, destination(&survey.map, *id, cluster, answers)?))).collect()
}

async fn carry_out(
    follower: &Follower,
    id: u64,
    goal: &Goal,
    no_wait: bool,
) -> anyhow::Result<Ended> {
    let moving = || format!("moving partition {id} to cluster {}", goal.cluster);
    let begun =
        follower.steering().steer(id, |now| intent(now, goal)).await.with_context(moving)?;
    if no_wait {
        return Ok(Ended { descriptor: begun, took: Default::default() });
    }
    let ended = follower.until_at_rest(&begun).await.with_context(moving)?;
    if ended.descriptor.cluster != goal.cluster {
        let given_up = Fault::new(
            Code::Aborted,
            format!("somebody gave it up; it is in cluster {}", ended.descriptor.cluster),
        );
        return Err(given_up).with_context(moving);
    }
    Ok(ended)
}

fn intent(now: &Partition, goal: &Goal) -> Result<Intent, Fault> {
    match &now.goal {
        Some(other) if other.cluster == goal.cluster => Ok(Intent::Keep),
        Some(other) => Err(Fault::new(
            Code::FailedPrecondition,
            format!(
                "another change of its members is under way, to cluster {}: wait for its end, or \
                 give it up with `doug partition cancel {}`",
                other.cluster, now.id
            ),
        )),
        // Fewer voters than its cluster is to have, or more, are mended by the same command.
        None if now.cluster == goal.cluster
            && now.outgoing.is_empty()
            && now.voters.len() == goal.nodes.len() =>
        {
            doug_streams::errln!("partition {} is in cluster {} already", now.id, goal.cluster);
            Ok(Intent::Keep)
        }
        None => Ok(Intent::Reach(goal.clone())),
    }
}

async fn report(steering: &Steering, ended: &[Ended], globals: &Globals) -> anyhow::Result<()> {
    let survey = steering.survey().await?;
    if globals.json() {
        let all = ended.iter().map(|ended| {
            let mut one = document(&survey, &ended.descriptor);
            one["tookMilliseconds"] = json!(ended.took.as_millis() as u64);
            one
        });
        doug_streams::outln!("{}", json!({"partitions": all.collect::<Vec<_>>()}));
        return Ok(());
    }
    for Ended { descriptor, took } in ended {
        let id = descriptor.id;
        if descriptor.is_at_rest() {
            let nodes = descriptor.voters.iter().map(|voter| voter.node);
            let nodes = names_of(&survey.map, nodes).join(", ");
            let cluster = &descriptor.cluster;
            doug_streams::outln!("partition {id} is in cluster {cluster}, on {nodes} ({took:.1?})");
        } else {
            let hint =
                format!("partition {id} is on its way: `doug partition list {id}` shows how far");
            doug_streams::outln!("{}", globals.given.repeated_in(&hint));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::steering::test_map;

    fn goal() -> Goal {
        destination(&test_map(), 1, "b", |_| true).unwrap()
    }

    fn partition() -> Partition {
        test_map().partitions[0].clone()
    }

    #[test]
    fn a_partition_at_rest_elsewhere_gets_the_goal() {
        assert_eq!(intent(&partition(), &goal()), Ok(Intent::Reach(goal())));
    }

    #[test]
    fn one_that_is_there_or_on_its_way_is_left_alone() {
        let there = Partition { cluster: "b".into(), ..partition() };
        assert_eq!(intent(&there, &goal()), Ok(Intent::Keep));
        let on_its_way = Partition { goal: Some(goal()), ..partition() };
        assert_eq!(intent(&on_its_way, &goal()), Ok(Intent::Keep));
    }

    #[test]
    fn one_that_has_fewer_voters_than_its_cluster_is_to_have_gets_the_missing_ones() {
        let mut there = Partition { cluster: "b".into(), ..partition() };
        there.voters.pop();
        assert_eq!(intent(&there, &goal()), Ok(Intent::Reach(goal())));
    }

    #[test]
    fn one_on_its_way_elsewhere_is_refused_with_what_gives_that_up() {
        let elsewhere = Goal { cluster: "c".into(), ..goal() };
        let descriptor = Partition { goal: Some(elsewhere), ..partition() };
        let message = intent(&descriptor, &goal()).unwrap_err().message;
        assert!(message.contains("doug partition cancel 1"), "{message}");
    }
}
