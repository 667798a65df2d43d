//! `doug version`.

use crate::exit::Exit;
use crate::globals::Globals;
use anyhow::Context;
use doug_proto::VERSION;
use serde_json::json;

/// Options of `doug version`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  doug version
  doug version --client")]
pub struct Args {
    /// Only this program; do not ask the database
    #[arg(long)]
    client: bool,
}

/// Runs the command. Without an answer the exit code says so, but this
/// program's own version is printed in any case.
pub async fn run(args: Args, globals: &Globals) -> anyhow::Result<Exit> {
    if args.client {
        if globals.json() {
            doug_streams::outln!("{}", json!({"client": VERSION}))
        } else {
            doug_streams::outln!("doug {VERSION}")
        }
        return Ok(Exit::Done);
    }
    let client = globals.one_shot().await?;
    let answer = client.status().await;
    let server = answer.as_ref().ok().map(|status| status.version.clone());
    match (globals.json(), &server) {
        (true, server) => doug_streams::outln!("{}", json!({"client": VERSION, "server": server})),
        (false, None) => doug_streams::outln!("doug {VERSION}"),
        (false, Some(server)) => doug_streams::outln!("doug {VERSION}\nserver {server}"),
    }
    answer.context("the database's version is not known")?;
    Ok(Exit::Done)
}
