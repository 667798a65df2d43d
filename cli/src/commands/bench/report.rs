//! What `bench` says.

use super::Operation;
use super::measure::{Measured, Plan};
use crate::exit::Exit;
use crate::globals::Globals;
use serde_json::json;

const PERCENTILES: [(&str, f64); 4] =
    [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9)];

/// Prints the measurement; an error if operations failed.
pub fn print(plan: &Plan, unary: bool, measured: &Measured, globals: &Globals) -> Exit {
    let Measured { latencies, errors, failed_outside, not_started, took } = measured;
    let rate = latencies.len() as f64 / took.as_secs_f64();
    let failed: u64 = errors.values().sum();
    if globals.json() {
        let percentiles: serde_json::Map<String, serde_json::Value> = PERCENTILES
            .iter()
            .map(|(name, at)| ((*name).to_owned(), latencies.value_at_percentile(*at).into()))
            .chain([("max".to_owned(), latencies.max().into())])
            .collect();
        let report = json!({
            "op": name(plan.operation),
            "mode": if unary { "unary" } else { "streams" },
            "loop": if plan.rate.is_some() { "open" } else { "closed" },
            "clients": plan.clients,
            "rate": plan.rate,
            "valueSize": plan.value_size,
            "seconds": took.as_secs_f64(),
            "operations": latencies.len(),
            "operationsPerSecond": rate,
            "latencyMicroseconds": percentiles,
            "failed": failed,
            "notStarted": not_started,
            "errors": errors,
        });
        doug_streams::outln!("{report}");
    } else {
        doug_streams::outln!("{}", headline(plan, unary));
        doug_streams::outln!(
            "{} operations in {:.1} s: {rate:.0}/s",
            latencies.len(),
            took.as_secs_f64()
        );
        for (name, at) in PERCENTILES {
            doug_streams::outln!("  {name:6} {:>10} µs", latencies.value_at_percentile(at));
        }
        doug_streams::outln!("  max    {:>10} µs", latencies.max());
        for (error, count) in errors {
            doug_streams::outln!("{count} failed: {error}");
        }
        if *not_started > 0 {
            doug_streams::outln!(
                "{not_started} were not started: the rate is beyond what is answered"
            );
        }
    }
    if latencies.is_empty() {
        let why = failed_outside.as_ref().map_or(String::new(), |fault| format!(": {fault}"));
        doug_streams::errln!("doug: no operation ended well in the time measured{why}");
        return Exit::Error;
    }
    if failed == 0 && *not_started == 0 { Exit::Done } else { Exit::Error }
}

fn headline(plan: &Plan, unary: bool) -> String {
    let mode = if unary { "unary calls" } else { "streams" };
    let load = match plan.rate {
        Some(rate) => format!("open loop, {rate}/s"),
        None => format!("closed loop, {} clients", plan.clients),
    };
    let (operation, size) = (name(plan.operation), plan.value_size);
    format!("{operation} through {mode}, {load}, values of {size} bytes")
}

fn name(operation: Operation) -> &'static str {
    match operation {
        Operation::Put => "put",
        Operation::Get => "get",
        Operation::Mixed => "mixed",
    }
}
