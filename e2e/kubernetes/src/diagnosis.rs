//! What a failed test leaves for whoever looks into it.

use crate::kubectl;
use crate::operator;

/// Lines of each log.
const LINES: &str = "--tail=60";

/// Prints the state of a namespace, its events, and the operator's log.
pub fn print(namespace: &str) {
    let show = |title: &str, arguments: &[&str]| {
        let text = kubectl::attempt(arguments).unwrap_or_else(|error| error);
        eprintln!("---- {title}\n{text}");
    };
    let all = "pods,statefulsets,deployments,persistentvolumeclaims,poddisruptionbudgets";
    show("objects", &["-n", namespace, "get", all, "-o", "wide"]);
    show("databases", &["-n", namespace, "get", "dougclusters", "-o", "yaml"]);
    show("events", &["-n", namespace, "get", "events", "--sort-by=.lastTimestamp"]);
    let operators = operator::SELECTOR;
    show("operator", &["-n", operator::NAMESPACE, "logs", "-l", operators, LINES, "--prefix"]);
    for pod in kubectl::list(&["-n", operator::NAMESPACE, "pods", "-l", operators]) {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        eprintln!("---- {name}\n{}", pod["status"]["containerStatuses"]);
        if operator::restarts() > 0 {
            let before = ["-n", operator::NAMESPACE, "logs", name, LINES, "--previous"];
            show("the operator before it was restarted", &before);
        }
    }
    for pod in kubectl::list(&["-n", namespace, "pods"]) {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        show(name, &["-n", namespace, "logs", name, LINES, "--all-containers"]);
    }
}
