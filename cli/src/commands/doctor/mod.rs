//! `doug doctor`.

mod checks;
mod reach;
mod round_trip;

use crate::exit::Exit;
use crate::globals::Globals;
use crate::live;
use checks::{Finding, check};
use reach::{Reached, reach_all};
use round_trip::RoundTrip;
use serde_json::json;

/// Options of `doug doctor`.
#[derive(clap::Args)]
#[command(after_help = "\
Asks the endpoint, the partition map and every node. Each finding comes with a
remedy. Exit status 1 if there is any. Also says how long a question takes from
here to each endpoint and node, there and back.

Examples:
  doug doctor
  doug doctor --endpoint http://db.example.com:7400 -o json")]
pub struct Args {}

/// Runs the command.
pub async fn run(_args: Args, globals: &Globals) -> anyhow::Result<Exit> {
    let mut findings = Vec::new();
    let reached = reach_all(globals, &mut findings).await;
    if let Some(reached) = &reached {
        findings.extend(check(reached));
    }
    for finding in &mut findings {
        finding.remedy = globals.given.repeated_in(&finding.remedy).into_owned();
    }
    let view = reached.as_ref().map(|reached| &reached.view);
    let round_trips = round_trip::measure(&globals.endpoint, view).await;
    if globals.json() {
        doug_streams::outln!("{}", document(&findings, &round_trips));
    } else {
        print(&findings, reached.as_ref());
        let columns = doug_streams::out::columns();
        doug_streams::outln!("{}", live::fit(&round_trip::render(&round_trips), columns));
    }
    Ok(if findings.is_empty() { Exit::Done } else { Exit::Error })
}

fn document(findings: &[Finding], round_trips: &[RoundTrip]) -> serde_json::Value {
    let all = findings.iter().map(|finding| {
        json!({"subject": finding.subject, "problem": finding.problem, "remedy": finding.remedy})
    });
    let round_trips = round_trips.iter().map(|RoundTrip { to, took }| {
        let took = took.map(|took| u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        json!({"to": to, "microseconds": took})
    });
    json!({
        "healthy": findings.is_empty(),
        "findings": all.collect::<Vec<_>>(),
        "roundTrips": round_trips.collect::<Vec<_>>(),
    })
}

fn print(findings: &[Finding], reached: Option<&Reached>) {
    for finding in findings {
        doug_streams::outln!(
            "{}: {}\n  remedy: {}",
            finding.subject,
            finding.problem,
            finding.remedy
        );
    }
    let partitions = reached.iter().flat_map(|reached| &reached.view.partitions);
    for (partition, change) in partitions.filter_map(|p| Some((p, p.change.as_ref()?))) {
        doug_streams::outln!(
            "partition {} is on its way {}; {}",
            partition.id,
            change.goal,
            change.phase
        );
    }
    match (findings.len(), reached) {
        (0, Some(Reached { view, .. })) => doug_streams::outln!(
            "nothing wrong found: {} partitions led, {} nodes ready, version {}",
            view.partitions.len(),
            view.nodes.len(),
            view.version
        ),
        (1, _) => doug_streams::outln!("1 finding"),
        (count, _) => doug_streams::outln!("{count} findings"),
    }
}
