//! `doug ttl`.
#![allow(clippy::disallowed_types)] // how long it is from now only the wall clock tells

use super::{answer, consistency};
use crate::encoding::insert_json;
use crate::exit::{Exit, usage};
use crate::globals::Globals;
use crate::units::{show_milliseconds, show_time};
use anyhow::Context;
use doug_proto::v1::GetResponse;
use serde_json::{Map, Value};
use std::ffi::OsString;
use std::time::{SystemTime, UNIX_EPOCH};

/// Options of `doug ttl`.
#[derive(clap::Args)]
#[command(after_help = "\
Prints when the key expires, or `never`. How long that is from now is told by
the clock of this machine. Exit status 3 if the key does not exist.

Examples:
  doug ttl greeting
  doug ttl greeting -o json")]
pub struct Args {
    /// Key
    #[arg(allow_hyphen_values = true)]
    key: OsString,
    #[command(flatten)]
    consistency: consistency::Args,
    /// Keyspace
    #[arg(long, default_value = "default", value_name = "NAME")]
    keyspace: String,
    /// Show revision, session token, who served and how stale, on standard error
    #[arg(short, long)]
    verbose: bool,
}

/// Runs the command.
pub async fn run(args: Args, globals: &Globals) -> anyhow::Result<Exit> {
    let key = globals.encoding.decode(&args.key).map_err(usage)?;
    let shown = globals.encoding.quote(&key);
    let client = globals.one_shot().await?.in_keyspace(&args.keyspace);
    let answer = client
        .get(key.clone(), args.consistency.read())
        .await
        .with_context(|| format!("cannot get {shown}"))?;
    if globals.json() {
        doug_streams::outln!("{}", json(&key, &answer));
    } else if answer.found {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        doug_streams::outln!("{}", told(answer.expiry_milliseconds, now));
    } else {
        doug_streams::errln!("doug: {shown} does not exist");
    }
    if args.verbose {
        let written = ("written at revision", answer.value_revision.to_string());
        answer::explain(answer.header.as_ref(), &[written][..usize::from(answer.found)]);
    }
    Ok(if answer.found { Exit::Done } else { Exit::NotFound })
}

/// Milliseconds since 1970, both.
fn told(expiry: u64, now: u64) -> String {
    match expiry {
        0 => "never".to_owned(),
        expiry if expiry <= now => format!("{}, any moment", show_time(expiry)),
        expiry => format!("{}, in {}", show_time(expiry), show_milliseconds(expiry - now)),
    }
}

fn json(key: &[u8], answer: &GetResponse) -> Value {
    let mut object = Map::new();
    insert_json(&mut object, "key", key);
    object.insert("found".into(), answer.found.into());
    if answer.found {
        object.insert("revision".into(), answer.value_revision.into());
    }
    if answer.expiry_milliseconds > 0 {
        object.insert("expires".into(), show_time(answer.expiry_milliseconds).into());
        object.insert("expiryMilliseconds".into(), answer.expiry_milliseconds.into());
    }
    answer::insert_header(&mut object, answer.header.as_ref());
    object.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moment_is_told_and_how_far_it_is() {
        assert_eq!(told(0, 7), "never");
        let expiry = 1_767_225_600_000;
        assert_eq!(told(expiry, expiry - 30_000), "2026-01-01T00:00:00Z, in 30 s");
        assert_eq!(told(expiry, expiry + 1), "2026-01-01T00:00:00Z, any moment");
    }

    #[test]
    fn json_names_the_expiry_where_there_is_one() {
        let expiry_milliseconds = 1_767_225_600_500;
        let answer = GetResponse { found: true, expiry_milliseconds, ..Default::default() };
        let told = json(b"k", &answer);
        assert_eq!(told["expires"], "2026-01-01T00:00:00Z");
        assert_eq!(told["expiryMilliseconds"], 1_767_225_600_500_u64);
        let never = json(b"k", &GetResponse { found: true, ..Default::default() });
        assert!(never.get("expires").is_none());
    }
}
