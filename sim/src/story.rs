//! A failing seed, told so that a person can follow it: what ran, what was violated, what
//! happened last, and how to see it again.

use crate::plan::Plan;
use crate::run::Report;

/// Lines of what happened last.
const LINES: usize = 25;

/// The story of a run that broke a promise; nothing if it broke none.
pub fn story(plan: &Plan, report: &Report) -> Option<String> {
    let violation = report.violation.as_ref()?;
    let at = report.simulated.as_secs_f64();
    let mut told = format!(
        "seed {} broke a promise after {at:.1} simulated seconds\n\
         promise: {}\n\
         seen:    {}\n\
         ran:     {}\n\
         faults:  {}\n\
         what happened last (seconds):\n",
        report.seed,
        violation.checker,
        violation.what,
        setting(plan),
        faults(plan),
    );
    let skip = report.story.len().saturating_sub(LINES);
    for line in report.story.iter().skip(skip) {
        told.push_str(&format!("  {line}\n"));
    }
    told.push_str(&format!(
        "see it again: doug-sim --seed {seed} (--only a-0 for one node, --shrink for the faults it \
         needs)\n",
        seed = report.seed
    ));
    Some(told)
}

/// What a plan runs.
fn setting(plan: &Plan) -> String {
    format!(
        "{} cluster(s) of {} nodes, {} host(s) each, {} partition(s); {} clients, {} more that run \
         the client library, through {} facade(s); \
         election timeout {} ms; of a thousand messages {} lost, {} twice{}",
        plan.clusters,
        plan.nodes,
        plan.hosts,
        plan.partitions,
        plan.workload.clients,
        plan.library.clients(),
        plan.library.facades.len(),
        plan.election_timeout.as_millis(),
        plan.network.loss,
        plan.network.duplication,
        if plan.network.reorder { ", out of order" } else { "" }
    )
}

/// The kinds of faults of a plan.
fn faults(plan: &Plan) -> String {
    let names: Vec<_> = plan.faults.keys().map(|kind| kind.name()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
