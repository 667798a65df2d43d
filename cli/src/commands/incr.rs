//! `doug incr`.

use super::answer;
use super::txn::exit;
use crate::encoding::insert_json;
use crate::exit::{Exit, usage};
use crate::globals::Globals;
use anyhow::Context;
use bytes::Bytes;
use doug_client::v1::{TransactResponse, operation_answer::Answer};
use doug_client::{Step, Transaction};
use doug_streams::{errln, outln};
use serde_json::{Map, Value};
use std::ffi::OsString;

/// Options of `doug incr`.
#[derive(clap::Args)]
#[command(after_help = "\
The value is decimal text of a signed 64-bit number; a missing key counts as 0.
Exit status 4 if the value is no such number, or the sum would be none: then
nothing was changed. 6 if the key may have been incremented.

Examples:
  doug incr hits
  doug incr balance -25")]
pub struct Args {
    /// Key, 1 to 4,096 bytes
    #[arg(allow_hyphen_values = true)]
    key: OsString,
    /// What is added
    #[arg(default_value_t = 1, allow_hyphen_values = true)]
    by: i64,
    /// Keyspace
    #[arg(long, default_value = "default", value_name = "NAME")]
    keyspace: String,
    /// Show revision, session token and who served, on standard error
    #[arg(short, long)]
    verbose: bool,
}

/// Runs the command.
pub async fn run(args: Args, globals: &Globals) -> anyhow::Result<Exit> {
    let key = globals.encoding.decode(&args.key).map_err(usage)?;
    let shown = globals.encoding.quote(&key);
    let client = globals.one_shot().await?.in_keyspace(&args.keyspace);
    let transaction = Transaction::new().then(Step::increment(key.clone(), args.by));
    let answered = client.transact(transaction).await;
    let response = answered.with_context(|| format!("cannot increment {shown}"))?;
    if globals.json() {
        outln!("{}", json(&key, &response));
    } else if let Some(value) = sum(&response) {
        outln!("{value}");
    } else if let Some(obstacle) = &response.obstacle {
        errln!("doug: {shown}: {}", doug_proto::transaction::told(obstacle));
    } else {
        errln!("doug: {shown} was incremented, but the sum is not known: read it");
    }
    if args.verbose {
        answer::explain(response.header.as_ref(), &[]);
    }
    Ok(exit(&response))
}

fn sum(response: &TransactResponse) -> Option<i64> {
    match response.answers.first()?.answer.as_ref()? {
        Answer::Increment(sum) => Some(sum.value),
        _ => None,
    }
}

fn json(key: &Bytes, response: &TransactResponse) -> Value {
    let mut object = Map::new();
    insert_json(&mut object, "key", key);
    if let Some(value) = sum(response) {
        object.insert("value".into(), value.into());
    }
    if let Some(obstacle) = &response.obstacle {
        object.insert("obstacle".into(), doug_proto::transaction::told(obstacle).into());
    }
    answer::insert_header(&mut object, response.header.as_ref());
    object.into()
}
