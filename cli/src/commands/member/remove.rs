//! `doug member remove`.

use crate::commands::steering::{Reach, named};
use crate::exit::Exit;
use crate::globals::Globals;
use anyhow::Context;
use serde_json::json;

/// Options of `doug member remove`.
#[derive(clap::Args)]
#[command(after_help = "\
For a node that holds no replica: a spare one, or one whose partitions have moved.
Its id never comes back; with an empty volume, the same machine can join again.

Examples:
  doug member remove a-5")]
pub struct Args {
    /// Name or id of the node
    #[arg(value_name = "NODE")]
    node: String,
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
        let removing = || format!("removing {} ({})", node.name, node.id);
        steering.remove_node(node.id).await.with_context(removing)?;
    }
    if globals.json() {
        doug_streams::outln!("{}", json!({"removed": node.id.to_string(), "name": node.name}));
    } else {
        doug_streams::outln!("{} ({}) is no longer part of the database", node.name, node.id);
    }
    Ok(Exit::Done)
}
