//! `doug doctor`.

mod checks;
mod reach;

use crate::exit::Exit;
use crate::globals::Globals;
use checks::{Finding, check};
use reach::{Reached, reach_all};
use serde_json::json;

/// Options of `doug doctor`.
#[derive(clap::Args)]
#[command(after_help = "\
Asks the endpoint, the partition map and every node. Each finding comes with a
remedy. Exit status 1 if there is any.

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
    if globals.json() {
        doug_streams::outln!("{}", document(&findings));
    } else {
        print(&findings, reached.as_ref());
    }
    Ok(if findings.is_empty() { Exit::Done } else { Exit::Error })
}

fn document(findings: &[Finding]) -> serde_json::Value {
    let all = findings.iter().map(|finding| {
        json!({"subject": finding.subject, "problem": finding.problem, "remedy": finding.remedy})
    });
    json!({"healthy": findings.is_empty(), "findings": all.collect::<Vec<_>>()})
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
