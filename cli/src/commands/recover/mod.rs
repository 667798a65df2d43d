//! `doug recover`: partitions that lost their quorum for good begin anew from what is left.

mod confirm;
mod report;

use super::steering::{Follower, Reach, Which};
use crate::exit::{Exit, usage};
use crate::globals::Globals;
use anyhow::Context;
use doug_client::admin::{Assessment, Loss, Steering, Survey, assess};
use doug_proto::ids::NodeId;
use doug_proto::map::Partition;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// A node refuses before it has heard no leader for so long (with a second's margin).
const LEADERLESS: Duration = Duration::from_secs(6);

/// Options of `doug recover`.
#[derive(clap::Args)]
#[command(after_help = "\
For partitions most of whose volumes are gone for good. What only the lost replicas
held is LOST, acknowledged or not. Partitions that have a quorum are left alone.
First it says what would be lost; then the id of the database has to be typed.

Never while a lost node may come back by itself: bring it back instead. One that
returns all the same is refused by the new groups, and its replicas are deleted.
Afterwards, put new nodes in the place of the lost ones: `doug member replace`.

Examples:
  doug recover --all --unsafe --dry-run
  doug recover --all --unsafe
  doug recover 3 --unsafe --confirm 6fd1a0b2c3d4 --by ann")]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Say that losing writes is accepted
    #[arg(long = "unsafe")]
    is_unsafe: bool,
    /// Say what may be lost, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Id of the database, instead of typing it when asked
    #[arg(long, value_name = "DATABASE", conflicts_with = "dry_run")]
    confirm: Option<String>,
    /// Who asks, for the record that stays in each partition
    #[arg(long, value_name = "NAME", env = "USER", default_value = "unknown")]
    by: String,
    #[command(flatten)]
    reach: Reach,
}

/// Runs the command.
pub async fn run(args: Args, globals: &Globals) -> anyhow::Result<Exit> {
    if !args.is_unsafe {
        return Err(usage(
            "acknowledged writes may be lost: see what and how many with `--unsafe --dry-run`, \
             and bring nodes back instead if any way is left",
        ));
    }
    let steering = Arc::new(args.reach.steering(globals).await?);
    let survey = steering.survey().await?;
    let found = Found::look(&survey, &args.which.ids(&survey.map)?);
    if found.lost.is_empty() || args.dry_run {
        report::tell(&survey, &found, globals);
        return Ok(if found.gone.is_empty() && found.lost.is_empty() {
            Exit::Done
        } else {
            Exit::Error
        });
    }
    if !globals.json() {
        report::tell(&survey, &found, globals);
    }
    confirm::ask(args.confirm.as_deref(), &survey.map.database.to_string())?;
    wait_until_leaderless(&found.lost).await;
    let mut begun = Vec::new();
    for loss in &found.lost {
        begun.push(begin_anew(&steering, &survey, loss, &args.by).await?);
        if !globals.json() {
            report::tell_begun(&survey, loss);
        }
    }
    let follower = Follower::start(&steering);
    for descriptor in &begun {
        let rebuilding = || format!("giving partition {} its other survivors", descriptor.id);
        follower.until_at_rest(descriptor).await.with_context(rebuilding)?;
    }
    report::tell_end(&survey, &found, &begun, globals);
    Ok(if found.gone.is_empty() { Exit::Done } else { Exit::Error })
}

/// Partitions by how they stand.
struct Found {
    /// Those that can begin anew; the catalog first, for all others need it.
    lost: Vec<Loss>,
    /// Those of which nothing is left.
    gone: Vec<u64>,
    /// How many have a quorum.
    decide: usize,
}

impl Found {
    fn look(survey: &Survey, partitions: &[u64]) -> Self {
        let mut found = Self { lost: Vec::new(), gone: Vec::new(), decide: 0 };
        // They come by id, and the catalog is partition 1.
        for partition in partitions {
            match assess(survey, *partition) {
                Assessment::Decides => found.decide += 1,
                Assessment::Gone => found.gone.push(*partition),
                Assessment::Lost(loss) => found.lost.push(*loss),
            }
        }
        found
    }

    /// All nodes that are given up.
    fn lost_nodes(&self) -> BTreeSet<NodeId> {
        self.lost.iter().flat_map(|loss| loss.lost.iter().copied()).collect()
    }
}

/// An election that is under way is no loss: nodes wait for a while before they believe it.
async fn wait_until_leaderless(lost: &[Loss]) {
    let shortest = lost.iter().map(|loss| loss.best().leaderless).min();
    let left = LEADERLESS.saturating_sub(shortest.unwrap_or(LEADERLESS));
    tokio::time::sleep(left).await;
}

/// What the survivors say is looked at once more: others may have begun it meanwhile.
async fn begin_anew(
    steering: &Steering,
    survey: &Survey,
    loss: &Loss,
    by: &str,
) -> anyhow::Result<Partition> {
    let (id, best) = (loss.descriptor.id, loss.best());
    let beginning = || {
        let name = report::name_of(survey, best.node);
        format!("beginning partition {id} anew from {name}; those before it have been")
    };
    let admin = steering.admin(best.node).with_context(beginning)?;
    admin.recover(survey.map.database, loss, by).await.with_context(beginning)
}
