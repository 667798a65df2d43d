//! Why Kubernetes makes no pods: a quota, a policy, an account that is gone. Only events and the
//! condition of a Deployment say so, since there is no pod that could.

use super::Observed;
use crate::validate::Database;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Event;
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

/// Fills `refused` in, with the words of the API server. Only sets are asked about of which a pod
/// is missing.
///
/// # Errors
/// The API server's.
pub async fn fetch(
    client: &Client,
    database: &Database,
    observed: &mut Observed,
) -> kube::Result<()> {
    if let Some(why) = observed.facade.as_ref().and_then(of_deployment) {
        observed.refused.insert(database.facade_name(), why);
    }
    let missing = |set: &str, nodes: u32| {
        (0..nodes).any(|ordinal| !observed.pods.contains_key(&format!("{set}-{ordinal}")))
    };
    let declared = database.spec.clusters.iter();
    let short: Vec<(String, String)> = declared
        .map(|cluster| (database.set_name(&cluster.name), cluster.nodes))
        .filter(|(set, nodes)| missing(set, *nodes))
        .filter_map(|(set, _)| Some((observed.sets.get(&set)?.uid()?, set)))
        .collect();
    let api = Api::<Event>::namespaced(client.clone(), &database.namespace);
    for (uid, set) in short {
        let of_set = ListParams::default().fields(&format!("involvedObject.uid={uid}"));
        if let Some(why) = of_events(&api.list(&of_set).await?.items) {
            observed.refused.insert(set, why);
        }
    }
    Ok(())
}

fn of_deployment(facade: &Deployment) -> Option<String> {
    let conditions = facade.status.as_ref()?.conditions.iter().flatten();
    let mut failures = conditions.filter(|c| c.type_ == "ReplicaFailure" && c.status == "True");
    failures.find_map(|condition| condition.message.clone())
}

/// What the newest event about a pod to be made says, if that is a failure: one that was made
/// since answers every failure before.
fn of_events(events: &[Event]) -> Option<String> {
    let about_making = |event: &&Event| {
        matches!(event.reason.as_deref(), Some("FailedCreate" | "SuccessfulCreate"))
    };
    let newest = events.iter().filter(about_making).max_by_key(|event| happened(event))?;
    (newest.reason.as_deref() == Some("FailedCreate")).then(|| newest.message.clone())?
}

fn happened(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref());
    let times = [series.map(|time| time.0), event.last_timestamp.as_ref().map(|time| time.0)];
    let once =
        [event.event_time.as_ref().map(|t| t.0), event.first_timestamp.as_ref().map(|t| t.0)];
    times.into_iter().chain(once).flatten().max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(reason: &str, time: &str, message: &str) -> Event {
        serde_json::from_value(json!({
            "metadata": {"name": format!("{reason}.{time}")}, "involvedObject": {},
            "reason": reason, "message": message, "lastTimestamp": time,
        }))
        .unwrap()
    }

    #[test]
    fn a_quota_that_refuses_a_pod_is_quoted_until_one_is_made() {
        let refusal = event("FailedCreate", "2026-01-01T12:00:05Z", "exceeded quota: pods=1");
        let other = event("RecreatingFailedPod", "2026-01-01T12:00:09Z", "gone");
        let before = event("SuccessfulCreate", "2026-01-01T12:00:01Z", "create pod a-0");
        let events = [before, refusal, other];
        assert_eq!(of_events(&events).as_deref(), Some("exceeded quota: pods=1"));
        let since = event("SuccessfulCreate", "2026-01-01T12:00:06Z", "create pod a-1");
        assert_eq!(of_events(&[&events[..], &[since]].concat()), None);
        assert_eq!(of_events(&[]), None);
    }

    #[test]
    fn a_deployment_that_makes_no_pods_says_so_itself() {
        let deployment = |status: &str| {
            let condition = json!({
                "type": "ReplicaFailure", "status": status, "message": "forbidden by policy",
            });
            serde_json::from_value(json!({"status": {"conditions": [condition]}})).unwrap()
        };
        assert_eq!(of_deployment(&deployment("True")).as_deref(), Some("forbidden by policy"));
        assert_eq!(of_deployment(&deployment("False")), None);
    }
}
