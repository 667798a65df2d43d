//! Evicting pods: deleting them only if their budget allows.
//!
//! A drain takes a pod whenever its budget allows one to be away. Whoever deletes another at the
//! same moment is not counted, and two are away. So pods that run are taken by the same door as a
//! drain's: the API server looks at the budget and counts down in one step, and of two that ask
//! one is refused.

use super::ApplyError;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, ObjectMeta, Preconditions};
use kube::api::PostParams;
use kube::core::Status;
use kube::{Api, Client};
use serde_json::Value;

/// Whether an eviction is only asked about, or carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Nothing happens; the budget counts nothing.
    Ask,
    /// The pod is deleted if it may be.
    Evict,
}

/// What became of an eviction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evicted {
    /// The pod ends, or would; or it is gone already.
    Yes,
    /// Its budget does not let it go now: the API server's words. To be tried again.
    NotNow(String),
}

/// Evicts the very pod that was looked at, not its successor; one that is gone or replaced by now
/// is fine.
///
/// # Errors
/// The API server's, other than that the budget forbids it.
pub async fn evict(
    client: &Client,
    namespace: &str,
    name: &str,
    uid: &str,
    intent: Intent,
) -> Result<Evicted, ApplyError> {
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    let parameters = PostParams { dry_run: intent == Intent::Ask, ..PostParams::default() };
    // Not `Api::evict`: it names the options otherwise than the API server does, which then
    // overlooks the uid.
    let body = eviction(namespace, name, uid);
    match pods.create_subresource::<_, Value>("eviction", name, &parameters, &body).await {
        Ok(_) => Ok(Evicted::Yes),
        Err(kube::Error::Api(status)) => {
            outcome(&status).ok_or(ApplyError::Kube(kube::Error::Api(status)))
        }
        Err(error) => Err(error.into()),
    }
}

fn eviction(namespace: &str, name: &str, uid: &str) -> v1::Eviction {
    let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
    v1::Eviction {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        delete_options: Some(DeleteOptions {
            preconditions: Some(preconditions),
            ..DeleteOptions::default()
        }),
    }
}

/// What a refusal means; none: the API server failed.
fn outcome(status: &Status) -> Option<Evicted> {
    match status.code {
        404 | 409 => Some(Evicted::Yes),
        429 => Some(Evicted::NotNow(words(status))),
        // So it refuses a pod that two budgets select: somebody made one of their own.
        500 if status.message.contains("PodDisruptionBudget") => {
            Some(Evicted::NotNow(words(status)))
        }
        _ => None,
    }
}

/// The message, and the causes, which say which budget it was.
fn words(status: &Status) -> String {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let causes = causes.map(|cause| cause.message.trim_end_matches('.'));
    let message = status.message.trim_end_matches('.');
    [message].into_iter().chain(causes).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(status: Value) -> Option<Evicted> {
        outcome(&serde_json::from_value(status).unwrap())
    }

    #[test]
    fn an_eviction_is_of_the_very_pod_that_was_looked_at() {
        let expected = json!({
            "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"name": "orders-a-1", "namespace": "shop"},
            "deleteOptions": {"preconditions": {"uid": "pod-1"}},
        });
        assert_eq!(json!(eviction("shop", "orders-a-1", "pod-1")), expected);
    }

    #[test]
    fn a_budget_that_is_used_up_is_waited_for() {
        let message = "Cannot evict pod as it would violate the pod's disruption budget.";
        let cause = "The disruption budget orders-a needs 2 healthy pods and has 2 currently";
        let refused = answer(json!({
            "status": "Failure", "code": 429, "reason": "TooManyRequests", "message": message,
            "details": {"causes": [{"reason": "DisruptionBudget", "message": cause}]},
        }));
        let why = "Cannot evict pod as it would violate the pod's disruption budget: The \
                   disruption budget orders-a needs 2 healthy pods and has 2 currently";
        assert_eq!(refused, Some(Evicted::NotNow(why.into())));
    }

    #[test]
    fn a_second_budget_that_somebody_made_is_named() {
        let why = "This pod has more than one PodDisruptionBudget, which the eviction subresource \
                   does not support";
        let refused = answer(json!({"status": "Failure", "code": 500, "message": why}));
        assert_eq!(refused, Some(Evicted::NotNow(why.into())));
    }

    #[test]
    fn a_pod_that_is_gone_or_replaced_by_now_is_as_wanted() {
        for code in [404, 409] {
            let gone = answer(json!({"status": "Failure", "code": code, "message": "gone"}));
            assert_eq!(gone, Some(Evicted::Yes));
        }
    }

    #[test]
    fn everything_else_is_a_failure() {
        for code in [403, 500] {
            let failed = answer(json!({"status": "Failure", "code": code, "message": "no"}));
            assert_eq!(failed, None);
        }
    }
}
