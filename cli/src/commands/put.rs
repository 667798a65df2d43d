//! `doug put`.

use super::answer;
use super::conditions::{PutCondition, unmet};
use crate::encoding::Encoding;
use crate::exit::{Exit, usage};
use crate::globals::Globals;
use anyhow::Context;
use bytes::Bytes;
use doug_proto::limits;
use doug_proto::v1::PutResponse;
use serde_json::{Map, Value};
use std::ffi::OsString;
use std::io::Read;
use std::time::Duration;

/// Options of `doug put`.
#[derive(clap::Args)]
#[command(after_help = "\
Exit status 4 if the condition did not hold; 6 if the write may have been applied.

Examples:
  doug put greeting hello
  doug put photo --value-file cat.jpg
  echo -n hello | doug put greeting -
  doug put lock me --if-absent
  doug put lock you --if-value me
  doug put greeting hi --if-revision 17
  doug put session/7 alice --ttl 30m
  doug put --encoding hex 00ff 6869")]
pub struct Args {
    /// Key, 1 to 4,096 bytes
    #[arg(allow_hyphen_values = true)]
    key: OsString,
    /// Value, at most 2 MiB; - reads it from standard input, byte for byte
    #[arg(
        required_unless_present = "value_file",
        conflicts_with = "value_file",
        allow_hyphen_values = true
    )]
    value: Option<OsString>,
    /// Read the value from this file, byte for byte; - for standard input
    #[arg(long, value_name = "FILE")]
    value_file: Option<OsString>,
    #[command(flatten)]
    condition: PutCondition,
    /// Let the key expire after this long, for instance 30s; without it never
    #[arg(long, value_name = "TIME", value_parser = crate::units::parse_duration)]
    ttl: Option<Duration>,
    /// Show revision, session token and who served, on standard error
    #[arg(short, long)]
    verbose: bool,
}

#[cfg(test)]
impl Args {
    /// The key as it stands on the command line.
    pub fn key(&self) -> &std::ffi::OsStr {
        &self.key
    }

    /// The value as it stands there.
    pub fn value(&self) -> Option<&std::ffi::OsStr> {
        self.value.as_deref()
    }
}

/// Runs the command.
pub async fn run(args: Args, globals: &Globals) -> anyhow::Result<Exit> {
    let key = globals.encoding.decode(&args.key).map_err(usage)?;
    let shown = globals.encoding.quote(&key);
    let condition = args.condition.condition(globals.encoding)?;
    let value = value(&args, globals.encoding)?;
    let client = globals.one_shot().await?;
    let answer = match args.ttl {
        Some(ttl) => client.put_expiring(key, value, condition.clone(), ttl).await,
        None => client.put(key, value, condition.clone()).await,
    };
    let answer = answer.with_context(|| format!("cannot put {shown}"))?;
    if globals.json() {
        doug_streams::outln!("{}", json(&answer));
    } else if !answer.condition_met {
        unmet(&shown, &condition, answer.current_revision);
    }
    if args.verbose {
        answer::explain(answer.header.as_ref(), &[]);
    }
    Ok(if answer.condition_met { Exit::Done } else { Exit::ConditionFailed })
}

fn value(args: &Args, encoding: Encoding) -> anyhow::Result<Bytes> {
    match (&args.value, &args.value_file) {
        (Some(value), _) if value == "-" => read_value(value),
        (Some(value), _) => encoding.decode(value).map_err(usage),
        (None, Some(file)) => read_value(file),
        (None, None) => Err(usage("give a VALUE or --value-file")),
    }
}

/// Reads no more than decides that it is too much: the file may be a device.
fn read_value(file: &OsString) -> anyhow::Result<Bytes> {
    let most = limits::VALUE_BYTES as u64 + 1;
    let mut value = Vec::new();
    let read = if file == "-" {
        std::io::stdin().lock().take(most).read_to_end(&mut value)
    } else {
        std::fs::File::open(file).and_then(|opened| opened.take(most).read_to_end(&mut value))
    };
    let from = if file == "-" { "standard input".into() } else { file.display().to_string() };
    read.with_context(|| format!("cannot read the value from {from}"))?;
    if value.len() > limits::VALUE_BYTES {
        let limit = limits::VALUE_BYTES;
        anyhow::bail!("the value from {from} exceeds the limit of {limit} bytes");
    }
    Ok(value.into())
}

fn json(answer: &PutResponse) -> Value {
    let mut object = Map::new();
    object.insert("conditionMet".into(), answer.condition_met.into());
    match &answer.header {
        Some(header) if answer.condition_met => {
            object.insert("revision".into(), header.revision.into());
        }
        Some(_) => {
            object.insert("currentRevision".into(), answer.current_revision.into());
        }
        None => {}
    }
    answer::insert_header(&mut object, answer.header.as_ref());
    object.into()
}
