//! `doug` run once in a pod, with the operator's image.

use crate::kubectl;
use crate::namespace::Namespace;
use crate::operator;
use crate::wait::{seconds, until};
use serde_json::json;

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Whether it exited with 0.
    pub succeeded: bool,
    /// What it printed, on either stream.
    pub said: String,
}

/// Starts a pod that runs `doug` with these arguments.
///
/// # Panics
/// When the pod is refused.
pub fn start(namespace: &Namespace, pod: &str, arguments: &[&str]) {
    let manifest = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": pod},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "containers": [{"name": "doug", "image": operator::image(), "args": arguments}],
        },
    });
    let applied = namespace.apply(&manifest.to_string());
    applied.unwrap_or_else(|error| panic!("the pod {pod} is refused: {error}"));
}

/// Runs `doug` with these arguments in a pod, which is gone afterwards.
///
/// # Panics
/// When it does not end within a minute.
pub fn run(namespace: &Namespace, pod: &str, arguments: &[&str]) -> Ended {
    start(namespace, pod, arguments);
    let phase = until(&format!("the command in pod {pod} has ended"), seconds(60), || {
        let pod = kubectl::get(&namespace.arguments(&["pod", pod]))?;
        let phase = pod["status"]["phase"].as_str()?.to_owned();
        matches!(phase.as_str(), "Succeeded" | "Failed").then_some(phase)
    });
    let said = kubectl::run(&namespace.arguments(&["logs", pod]));
    remove(namespace, pod);
    Ended { succeeded: phase == "Succeeded", said }
}

/// Removes a pod, whatever it still does.
///
/// # Panics
/// When it cannot be removed.
pub fn remove(namespace: &Namespace, pod: &str) {
    kubectl::run(&namespace.arguments(&["delete", "pod", pod, "--grace-period=1"]));
}
