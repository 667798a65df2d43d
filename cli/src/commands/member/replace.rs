//! `doug member replace`.

use super::plan::{exchange, spare};
use super::with_port;
use crate::commands::steering::{Follower, Reach, named};
use crate::exit::Exit;
use crate::globals::Globals;
use anyhow::{Context, bail};
use doug_client::admin::{Steering, Survey};
use doug_proto::map::Node;
use futures::stream::{StreamExt, TryStreamExt};
use serde_json::json;
use std::sync::Arc;

/// Options of `doug member replace`.
#[derive(clap::Args)]
#[command(after_help = "\
For a node whose volume is lost. The new one joins the database if it is empty, gets
a replica of each partition of the old one, and votes once it has caught up; then
the old one is taken out for good. Without --with: what answers empty at the address
of the old one, else a node of its cluster that has room. The same command again
goes on where it was interrupted.

Examples:
  doug member replace a-3                                  it came back empty
  doug member replace a-3 --with db9.example.com:7402      another machine
  doug member replace 9f3c21d07be4 --with a-5              a node that has joined")]
pub struct Args {
    /// Name or id of the node that is gone
    #[arg(value_name = "OLD-NODE")]
    old: String,
    /// The one in its place: admin address of an empty node, or name or id of a member
    #[arg(long, value_name = "NODE")]
    with: Option<String>,
    /// Partitions to rebuild at the same time
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 4,
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    at_once: u16,
    #[command(flatten)]
    reach: Reach,
}

/// Runs the command.
pub async fn run(args: Args, globals: &Globals) -> anyhow::Result<Exit> {
    let steering = Arc::new(args.reach.steering(globals).await?);
    let survey = steering.survey().await?;
    let lost = |id| survey.nodes.get(&id).is_none_or(Result::is_err);
    let old = named(&survey.map, &args.old, lost)?.clone();
    if old.is_removed() {
        doug_streams::outln!("{} ({}) was removed from the database before", old.name, old.id);
        return Ok(Exit::Done);
    }
    let short = survey.map.partitions.iter().filter(|partition| partition.gave_up(old.id));
    let concerned = survey.map.partitions_of(old.id).chain(short);
    let partitions: Vec<u64> = concerned.map(|partition| partition.id).collect();
    // Although it may hold no replica: its cluster must not become smaller by the way.
    let new = successor(&steering, &survey, &old, args.with.as_deref()).await?;
    let work = rebuild(&steering, &old, &new, &partitions, args.at_once.into());
    tokio::select! {
        done = work => done?,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.context("cannot wait for Ctrl-C")?;
            let hint = format!(
                "What has begun goes on: `doug partition list --all` shows it. The same \
                 command again does the rest: `doug member replace {} --with {}`.",
                old.id, new.id
            );
            doug_streams::errln!("{}", globals.given.repeated_in(&hint));
            return Ok(Exit::Error);
        }
    }
    let removing = || format!("taking {} ({}) out of the database", old.name, old.id);
    steering.remove_node(old.id).await.with_context(removing)?;
    report(&old, &new, partitions.len(), globals);
    Ok(Exit::Done)
}

/// The node in the old one's place, a member from now on.
async fn successor(
    steering: &Steering,
    survey: &Survey,
    old: &Node,
    with: Option<&str>,
) -> anyhow::Result<Node> {
    let alive = |id| survey.nodes.get(&id).is_some_and(Result::is_ok);
    let node = match with {
        Some(text) if named(&survey.map, text, alive).is_ok() => {
            named(&survey.map, text, alive)?.clone()
        }
        Some(text) => join(steering, old, &with_port(text)).await?,
        None => match returned(steering, old).await {
            Some(address) => join(steering, old, &address).await?,
            None => spare(survey, old)?.clone(),
        },
    };
    if node.id == old.id {
        bail!("{} is the node to be replaced itself: name another one, --with NODE", node.name);
    }
    if node.is_removed() || node.cluster != old.cluster {
        bail!(
            "{} ({}) cannot take the place of a node of cluster {}: it {}",
            node.name,
            node.id,
            old.cluster,
            if node.is_removed() {
                "was removed from the database for good".to_owned()
            } else {
                format!("belongs to cluster {}", node.cluster)
            }
        );
    }
    Ok(node)
}

async fn join(steering: &Steering, old: &Node, address: &str) -> anyhow::Result<Node> {
    let node = steering.join(address, &old.cluster, &old.name).await;
    let node = node
        .with_context(|| format!("the node at {address} cannot take the place of {}", old.name))?;
    doug_streams::errln!(
        "{} ({}) takes the place of {} ({})",
        node.name,
        node.id,
        old.name,
        old.id
    );
    Ok(node)
}

/// The admin address of the old node, if another one answers there by now.
async fn returned(steering: &Steering, old: &Node) -> Option<String> {
    let address = old.admin_address();
    let described = steering.admin_at(&address).ok()?.describe(false).await.ok()?;
    (described.node?.id != old.id.to_string()).then_some(address)
}

async fn rebuild(
    steering: &Arc<Steering>,
    old: &Node,
    new: &Node,
    partitions: &[u64],
    at_once: usize,
) -> anyhow::Result<()> {
    let follower = Follower::start(steering);
    let each = partitions.iter().map(|id| {
        let follower = &follower;
        async move {
            let what = || format!("rebuilding the replica of partition {id} on {}", new.name);
            let begun = follower.steering().steer(*id, |now| exchange(now, old.id, new.id)).await;
            follower.until_at_rest(&begun.with_context(what)?).await.with_context(what)
        }
    });
    futures::stream::iter(each).buffer_unordered(at_once).try_collect::<Vec<_>>().await?;
    Ok(())
}

fn report(old: &Node, new: &Node, partitions: usize, globals: &Globals) {
    if globals.json() {
        let new = json!({"id": new.id.to_string(), "name": new.name});
        let old = json!({"id": old.id.to_string(), "name": old.name});
        doug_streams::outln!("{}", json!({"replaced": old, "with": new, "partitions": partitions}));
        return;
    }
    doug_streams::outln!(
        "{} ({}) has taken the place of {} ({}) in {partitions} partitions",
        new.name,
        new.id,
        old.name,
        old.id
    );
}
