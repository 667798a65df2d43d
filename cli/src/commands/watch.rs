//! `doug watch`.

use super::{consistency, interval, moment};
use crate::encoding::{Encoding, insert_json, to_hex};
use crate::exit::{Exit, usage};
use crate::globals::Globals;
use anyhow::Context;
use bytes::Bytes;
use doug_client::{Changes, Range, Since, Watch, WatchOptions};
use doug_proto::instant;
use doug_proto::v1::WatchEvent;
use doug_streams::out;
use serde_json::{Map, Value, json};
use std::ffi::OsString;

/// Options of `doug watch`.
#[derive(clap::Args)]
#[command(after_help = "\
Prints REVISION<tab>put|delete<tab>KEY, and with --values <tab>VALUE, until it is told
to stop: every change once, in the order of its partition. -o json prints an object a
change, and {\"token\": …} first and behind those that it comes after: --token goes on
from there.
It ends where history does not reach back to where it is, and says so.

Examples:
  doug watch greeting --values
  doug watch --prefix user7/ --since 10m
  doug watch -o json --token 0a0b0c")]
pub struct Args {
    /// Key; without it, the keys of the interval
    #[arg(conflicts_with_all = ["prefix", "from", "to"], allow_hyphen_values = true)]
    key: Option<OsString>,
    #[command(flatten)]
    interval: interval::Args,
    /// What has changed since: a time (2026-11-30T12:00:00Z, or 10m for ten minutes ago),
    /// or a revision of its partition
    #[arg(long, value_name = "WHEN", value_parser = moment::parse)]
    since: Option<doug_client::At>,
    /// Go on from a token that -o json printed
    #[arg(long, value_name = "TOKEN", conflicts_with = "since",
        value_parser = consistency::session_token)]
    token: Option<Bytes>,
    /// Values, too
    #[arg(long)]
    values: bool,
    /// Keyspace; `system` is the catalog
    #[arg(long, default_value = "default", value_name = "NAME")]
    keyspace: String,
}

/// Runs the command.
pub async fn run(args: Args, globals: &Globals) -> anyhow::Result<Exit> {
    let range = match &args.key {
        Some(key) => Range::key(globals.encoding.decode(key).map_err(usage)?),
        None => args.interval.range(globals.encoding)?,
    };
    let since = match (args.since, args.token) {
        (Some(at), _) => Since::At(at),
        (None, Some(token)) => Since::Token(token),
        (None, None) => Since::Now,
    };
    let client = globals.builder().connect().await?.in_keyspace(&args.keyspace);
    let options = WatchOptions { since, values: args.values };
    let mut watch = client.watch(range, options).await.context("cannot begin to watch")?;
    if globals.json() {
        doug_streams::outln!("{}", token_line(&watch));
    }
    while out::lost().is_none() {
        let changes = match watch.next().await {
            Ok(changes) => changes,
            Err(fault) => {
                let token = to_hex(&watch.token());
                return Err(anyhow::Error::from(fault)
                    .context(format!("the watch has ended, at --token {token}")));
            }
        };
        for event in &changes.events {
            if globals.json() {
                doug_streams::outln!("{}", json_line(&changes, event, args.values));
            } else {
                doug_streams::outln!("{}", text_line(globals.encoding, event, args.values));
            }
        }
        if globals.json() {
            doug_streams::outln!("{}", token_line(&watch));
        }
    }
    Ok(Exit::Done)
}

fn token_line(watch: &Watch) -> Value {
    json!({"token": to_hex(&watch.token())})
}

fn text_line(encoding: Encoding, event: &WatchEvent, values: bool) -> String {
    let what = if event.deleted { "delete" } else { "put" };
    let mut line = format!("{}\t{what}\t{}", event.revision, encoding.show(&event.key));
    if values && !event.deleted {
        line.push('\t');
        line.push_str(&encoding.show(&event.value));
    }
    line
}

fn json_line(changes: &Changes, event: &WatchEvent, values: bool) -> String {
    let mut object = Map::new();
    object.insert("partition".into(), changes.partition.into());
    object.insert("revision".into(), event.revision.into());
    object.insert("time".into(), instant::show(event.stamp >> 16).into());
    insert_json(&mut object, "key", &event.key);
    if event.deleted {
        object.insert("deleted".into(), true.into());
    } else if values {
        insert_json(&mut object, "value", &event.value);
    }
    Value::from(object).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_one_line_and_a_deletion_is_told_from_an_empty_value() {
        let put = WatchEvent { revision: 7, key: "a\nb".into(), ..Default::default() };
        let delete = WatchEvent { deleted: true, ..put.clone() };
        assert_eq!(text_line(Encoding::Text, &put, true), "7\tput\ta\\nb\t");
        assert_eq!(text_line(Encoding::Text, &put, false), "7\tput\ta\\nb");
        assert_eq!(text_line(Encoding::Text, &delete, true), "7\tdelete\ta\\nb");
        let changes = Changes { partition: 3, through: 7, events: Vec::new() };
        let line = json_line(&changes, &delete, true);
        assert!(line.contains(r#""deleted":true"#) && line.contains(r#""partition":3"#), "{line}");
        assert!(json_line(&changes, &put, true).contains(r#""value":"""#));
    }
}
