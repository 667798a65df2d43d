//! Ready, Available, Progressing, Degraded.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// The four, in the order in which they are shown.
pub const TYPES: [&str; 4] = ["Ready", "Available", "Progressing", "Degraded"];

/// One condition's value with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Some(true) is True, None is Unknown.
    pub holds: Option<bool>,
    /// One word in CamelCase, for programs.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
}

impl Finding {
    /// It holds.
    pub fn yes(reason: &'static str, message: impl Into<String>) -> Self {
        Self { holds: Some(true), reason, message: message.into() }
    }

    /// It does not hold.
    pub fn no(reason: &'static str, message: impl Into<String>) -> Self {
        Self { holds: Some(false), reason, message: message.into() }
    }

    /// Nobody can tell.
    pub fn unknown(reason: &'static str, message: impl Into<String>) -> Self {
        Self { holds: None, reason, message: message.into() }
    }
}

/// What is found about all four.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings {
    /// Every partition takes writes, and every facade knows the newest map.
    pub ready: Finding,
    /// Some partition takes writes through some facade.
    pub available: Finding,
    /// The operator is changing something.
    pub progressing: Finding,
    /// Something needs a person.
    pub degraded: Finding,
}

impl Findings {
    /// Each with its type, in the order in which they are shown.
    pub fn by_type(&self) -> impl Iterator<Item = (&'static str, &Finding)> {
        let Findings { ready, available, progressing, degraded } = self;
        TYPES.into_iter().zip([ready, available, progressing, degraded])
    }
}

/// What stands there before anything has been judged.
pub fn unknown() -> Findings {
    let finding = || Finding::unknown("NotYetJudged", "the operator has just seen this generation");
    Findings { ready: finding(), available: finding(), progressing: finding(), degraded: finding() }
}

/// The conditions to publish. A condition that keeps its value keeps the time
/// of its last change.
pub fn conditions(
    old: &[Condition],
    findings: &Findings,
    generation: i64,
    now: &str,
) -> Vec<Condition> {
    findings
        .by_type()
        .map(|(kind, finding)| condition(old, kind, finding, generation, now))
        .collect()
}

/// Longer messages say no more, and a status has its limit.
const LONGEST: usize = 1_000;

fn condition(
    old: &[Condition],
    kind: &str,
    finding: &Finding,
    generation: i64,
    now: &str,
) -> Condition {
    let status = match finding.holds {
        Some(true) => "True",
        Some(false) => "False",
        None => "Unknown",
    };
    let before = old.iter().find(|condition| condition.type_ == kind);
    let since = match before {
        Some(before) if before.status == status => before.last_transition_time.clone(),
        _ => Time(now.parse().unwrap_or_default()),
    };
    let mut message = finding.message.clone();
    if let Some((cut, _)) = message.char_indices().nth(LONGEST) {
        message.truncate(cut);
        message.push('…');
    }
    Condition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: finding.reason.to_owned(),
        message,
        observed_generation: Some(generation),
        last_transition_time: since,
    }
}
