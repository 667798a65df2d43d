//! What a mode other than Running makes of the conditions.

use crate::dereference::Observed;
use crate::resizing::shrinking;
use crate::status::{Finding, Findings};
use crate::validate::Database;
use doug_crds::{DougClusterStatus, Mode};
use kube::ResourceExt;

/// Of one that is to hibernate, and cannot yet, that is said.
pub fn awake(
    database: &Database,
    observed: &Observed,
    old: &DougClusterStatus,
    judged: Findings,
) -> Findings {
    if database.spec.mode != Mode::Hibernated {
        return judged;
    }
    let leaving = observed.leaving_clusters(database).into_iter();
    let leaving = leaving.map(|cluster| format!("cluster {cluster} has left"));
    let fewer = shrinking(database, observed, old).into_iter();
    let fewer = fewer.map(|cluster| format!("cluster {cluster} has fewer nodes"));
    let first: Vec<String> = leaving.chain(fewer).collect();
    if first.is_empty() {
        return judged;
    }
    let why = format!(
        "it hibernates once {}, whose partitions move first: {}",
        first.join(", and "),
        judged.progressing.message
    );
    Findings { progressing: Finding::yes("HibernationWaits", why), ..judged }
}

/// Of one that is paused, all is said but what would be done.
pub fn paused(judged: Findings) -> Findings {
    let why = "nothing is changed while it is paused: set spec.mode to Running";
    Findings { progressing: Finding::no("Paused", why), ..judged }
}

/// Of one that sleeps, nothing is amiss when nobody answers.
pub fn asleep(observed: &Observed) -> Findings {
    let why = "its volumes are kept and it has no pods: set spec.mode to Running to wake it";
    let ending: Vec<String> = observed.pods.values().map(ResourceExt::name_any).collect();
    Findings {
        ready: Finding::no("Hibernated", why),
        available: Finding::no("Hibernated", why),
        progressing: match ending.len() {
            0 => Finding::no("Hibernated", why),
            pods => Finding::yes("Hibernating", format!("{pods} pods are ending")),
        },
        degraded: Finding::no("AllWell", "nothing needs attention"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::unknown;
    use crate::testing::{database, pod};
    use serde_json::json;

    #[test]
    fn who_is_paused_is_judged_and_told_that_nothing_is_done() {
        let findings = paused(unknown());
        assert_eq!(findings.progressing.reason, "Paused");
        assert_eq!(Findings { progressing: unknown().progressing, ..findings }, unknown());
    }

    #[test]
    fn who_sleeps_has_settled_once_the_last_pod_has_ended() {
        let mut observed = Observed::default();
        observed.pods.extend([pod(0, "any", json!({}))]);
        assert_eq!(asleep(&observed).progressing.reason, "Hibernating");
        let settled = asleep(&Observed::default());
        assert_eq!(settled.progressing.holds, Some(false));
        assert_eq!(settled.ready.holds, Some(false), "clients are not served");
        assert_eq!(settled.degraded.holds, Some(false), "nobody is called at night");
    }

    #[test]
    fn who_runs_is_judged_as_ever() {
        assert_eq!(
            awake(&database(), &Observed::default(), &Default::default(), unknown()),
            unknown()
        );
    }
}
