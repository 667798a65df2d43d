//! What `load` says in the end.

use super::verify::{Difference, Differences};
use super::write::Written;
use crate::encoding::{Encoding, insert_json};
use crate::exit::Exit;
use crate::globals::Globals;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Differences shown; all are counted.
const SHOWN: usize = 10;

/// Prints how the load went.
pub fn written(written: &Written, globals: &Globals) -> Exit {
    let rate = per_second(written.records, written.took);
    if globals.json() {
        let report = json!({
            "records": written.records,
            "failed": written.failed,
            "seconds": written.took.as_secs_f64(),
            "recordsPerSecond": rate,
            "retries": written.retries,
            "unknown": written.unknown,
            "longestGapMilliseconds": milliseconds(written.longest_gap),
            "longestGapAtSeconds": written.longest_gap_at.as_secs_f64(),
        });
        doug_streams::outln!("{report}");
    } else {
        doug_streams::outln!(
            "{} records written in {:.1} s, {rate:.0} records/s{}",
            written.records,
            written.took.as_secs_f64(),
            failed(written.failed)
        );
        doug_streams::outln!(
            "written again: {} unavailable, {} unknown",
            written.retries,
            written.unknown
        );
        doug_streams::outln!(
            "longest gap between acknowledged writes: {:.1} ms, {:.1} s after the start",
            milliseconds(written.longest_gap),
            written.longest_gap_at.as_secs_f64()
        );
    }
    if written.failed == 0 { Exit::Done } else { Exit::Error }
}

/// Prints how the verification went.
pub fn verified(found: &Differences, globals: &Globals) -> Exit {
    let differ = found.differing.len();
    if globals.json() {
        let first: Vec<Value> = found.differing.iter().take(SHOWN).map(as_json).collect();
        let report = json!({
            "records": found.records,
            "failed": found.failed,
            "seconds": found.took.as_secs_f64(),
            "recordsPerSecond": per_second(found.records, found.took),
            "fromFollowers": found.from_followers,
            "differing": differ,
            "firstDiffering": first,
        });
        doug_streams::outln!("{report}");
    } else {
        doug_streams::outln!(
            "{} records read in {:.1} s, {:.0} records/s, {} of them from followers: {}{}",
            found.records,
            found.took.as_secs_f64(),
            per_second(found.records, found.took),
            found.from_followers,
            if differ == 0 { "all equal".to_owned() } else { format!("{differ} DIFFER") },
            failed(found.failed)
        );
        for difference in found.differing.iter().take(SHOWN) {
            doug_streams::outln!("  {}", as_text(difference, globals.encoding));
        }
    }
    if differ == 0 && found.failed == 0 { Exit::Done } else { Exit::Error }
}

fn failed(count: u64) -> String {
    if count == 0 { String::new() } else { format!("; {count} FAILED") }
}

fn per_second(records: u64, took: Duration) -> f64 {
    records as f64 / took.as_secs_f64().max(0.001)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn as_text(difference: &Difference, encoding: Encoding) -> String {
    let Difference { line, key, expected, found } = difference;
    let (key, expected) = (encoding.quote(key), encoding.quote(expected));
    match found {
        None => format!("line {line}, key {key}: missing; the file has {expected}"),
        Some(found) => {
            format!("line {line}, key {key}: is {}; the file has {expected}", encoding.quote(found))
        }
    }
}

fn as_json(difference: &Difference) -> Value {
    let mut object = Map::new();
    object.insert("line".into(), difference.line.into());
    insert_json(&mut object, "key", &difference.key);
    insert_json(&mut object, "expected", &difference.expected);
    if let Some(found) = &difference.found {
        insert_json(&mut object, "found", found);
    }
    object.into()
}
