//! `doug del`.

use super::answer;
use super::conditions::{Condition, unmet};
use crate::exit::{Exit, usage};
use crate::globals::Globals;
use anyhow::Context;
use doug_proto::v1::DeleteResponse;
use serde_json::{Map, Value};
use std::ffi::OsString;

/// Options of `doug del`.
#[derive(clap::Args)]
#[command(after_help = "\
Exit status 3 if the key did not exist, 4 if the condition did not hold.

Examples:
  doug del greeting
  doug del greeting --if-revision 17
  doug del lock --if-value me")]
pub struct Args {
    /// Key
    #[arg(allow_hyphen_values = true)]
    key: OsString,
    #[command(flatten)]
    condition: Condition,
    /// Show revision, session token and who served, on standard error
    #[arg(short, long)]
    verbose: bool,
}

/// Runs the command.
pub async fn run(args: Args, globals: &Globals) -> anyhow::Result<Exit> {
    let key = globals.encoding.decode(&args.key).map_err(usage)?;
    let shown = globals.encoding.quote(&key);
    let condition = args.condition.condition(globals.encoding)?;
    let client = globals.one_shot().await?;
    let answer = client.delete(key, condition.clone()).await;
    let answer = answer.with_context(|| format!("cannot delete {shown}"))?;
    let exit = exit(&answer);
    if globals.json() {
        doug_streams::outln!("{}", json(&answer));
    } else {
        match exit {
            Exit::ConditionFailed => unmet(&shown, &condition, answer.current_revision),
            Exit::NotFound => doug_streams::errln!("doug: {shown} does not exist"),
            _ => {}
        }
    }
    if args.verbose {
        answer::explain(answer.header.as_ref(), &[]);
    }
    Ok(exit)
}

fn exit(answer: &DeleteResponse) -> Exit {
    match (answer.condition_met, answer.existed) {
        (false, _) => Exit::ConditionFailed,
        (true, false) => Exit::NotFound,
        (true, true) => Exit::Done,
    }
}

fn json(answer: &DeleteResponse) -> Value {
    let mut object = Map::new();
    object.insert("conditionMet".into(), answer.condition_met.into());
    object.insert("existed".into(), answer.existed.into());
    if !answer.condition_met {
        object.insert("currentRevision".into(), answer.current_revision.into());
    }
    answer::insert_header(&mut object, answer.header.as_ref());
    object.into()
}
