//! `doug member add`.

use super::with_port;
use crate::commands::steering::Reach;
use crate::exit::{Exit, usage};
use crate::globals::Globals;
use anyhow::Context;
use serde_json::json;

/// Options of `doug member add`.
#[derive(clap::Args)]
#[command(after_help = "\
An empty node becomes a member, without replicas: those come with `doug partition
move` or `doug member replace`. Nodes of a cluster that was not there before make it
one. Again changes nothing.

Examples:
  doug member add db5.example.com:7402
  doug member add db10:7402 db11:7402 db12:7402      a cluster more, if they say so")]
pub struct Args {
    /// Admin addresses of the nodes
    #[arg(value_name = "HOST:PORT", required = true)]
    addresses: Vec<String>,
    #[command(flatten)]
    reach: Reach,
}

/// Runs the command.
pub async fn run(args: Args, globals: &Globals) -> anyhow::Result<Exit> {
    let steering = args.reach.steering(globals).await?;
    steering.survey().await?;
    let mut all = Vec::new();
    for address in &args.addresses {
        let address = with_port(address);
        let adding = || format!("adding the node at {address}");
        let described = steering.admin_at(&address)?.describe(false).await.with_context(adding)?;
        let said = described.node.unwrap_or_default();
        if said.cluster.is_empty() {
            return Err(usage(format!(
                "the node at {address} does not say which cluster it belongs to: start it with \
                 --cluster NAME"
            )));
        }
        let node = steering.join(&address, &said.cluster, &said.id).await.with_context(adding)?;
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
    if globals.json() {
        doug_streams::outln!("{}", json!({"nodes": all}));
    }
    Ok(Exit::Done)
}
