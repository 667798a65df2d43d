//! `doug compact`.

use crate::commands::steering::Reach;
use crate::exit::{Exit, usage};
use crate::globals::Globals;
use anyhow::Context;
use doug_proto::instant;
use serde_json::json;

/// Options of `doug compact`.
#[derive(clap::Args)]
#[command(after_help = "\
Old versions of keys go by themselves, as late as the keyspace declares; this gives
those of one partition up at once. What a revision means only its partition knows:
`doug get -v` prints both. A floor that is higher already stays where it is.

Examples:
  doug compact --partition 3 --revision 120000")]
pub struct Args {
    /// Partition
    #[arg(long, value_name = "ID")]
    partition: u64,
    /// The oldest revision that is to stay readable
    #[arg(long, value_name = "N")]
    revision: u64,
    #[command(flatten)]
    reach: Reach,
}

/// Runs the command.
pub async fn run(args: Args, globals: &Globals) -> anyhow::Result<Exit> {
    let steering = args.reach.steering(globals).await?;
    let id = args.partition;
    if steering.map().partition(id).is_none() {
        return Err(usage(format!("there is no partition {id}: see `doug partition list`")));
    }
    let raised = steering.compact(id, args.revision).await;
    let floor = raised.with_context(|| format!("cannot raise the floor of partition {id}"))?;
    if globals.json() {
        let floor = json!({"revision": floor.revision, "stamp": floor.stamp});
        doug_streams::outln!("{}", json!({"id": id, "floor": floor}));
    } else {
        doug_streams::outln!(
            "the history of partition {id} begins at revision {}, of {}",
            floor.revision,
            instant::show(floor.stamp >> 16)
        );
    }
    Ok(Exit::Done)
}
