//! `doug partition cancel`.

use crate::commands::steering::{Follower, Reach, Which};
use crate::exit::Exit;
use crate::globals::Globals;
use anyhow::Context;
use doug_client::admin::Intent;
use serde_json::json;
use std::sync::Arc;

/// Options of `doug partition cancel`.
#[derive(clap::Args)]
#[command(after_help = "\
What has begun to be joint goes to its end: then the partition is where it was to
be. Before that, it stays where it is, and its learners are removed.

Examples:
  doug partition cancel 3
  doug partition cancel --all")]
pub struct Args {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    reach: Reach,
}

/// Runs the command.
pub async fn run(args: Args, globals: &Globals) -> anyhow::Result<Exit> {
    let steering = Arc::new(args.reach.steering(globals).await?);
    let survey = steering.survey().await?;
    let follower = Follower::start(&steering);
    let mut all = Vec::new();
    for id in args.which.ids(&survey.map)? {
        let giving_up = || format!("giving up what is under way in partition {id}");
        let rests = survey.descriptor(id).is_some_and(|descriptor| descriptor.is_at_rest());
        let begun = steering.steer(id, |_| Ok(Intent::GiveUp)).await.with_context(giving_up)?;
        let ended = follower.until_at_rest(&begun).await.with_context(giving_up)?;
        let cluster = &ended.descriptor.cluster;
        if !globals.json() {
            if rests {
                doug_streams::outln!("partition {id}: nothing was under way")
            } else {
                doug_streams::outln!("partition {id}: given up; it is in cluster {cluster}")
            }
        }
        all.push(json!({"id": id, "cluster": cluster, "wasAtRest": rests}));
    }
    if globals.json() {
        doug_streams::outln!("{}", json!({"partitions": all}));
    }
    Ok(Exit::Done)
}
