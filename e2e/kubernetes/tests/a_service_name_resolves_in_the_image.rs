//! The image has nothing but `doug` and libraries, and yet resolves names: of a
//! Service that exists it is refused an answer, of one that does not exist the name.

use doug_kubernetes_tests::kubectl;
use doug_kubernetes_tests::namespace::Namespace;
use doug_kubernetes_tests::operator;
use doug_kubernetes_tests::wait::{seconds, until};
use serde_json::json;

/// What `doug version` says in a pod of the operator's image about an endpoint.
fn said(namespace: &Namespace, pod: &str, endpoint: &str) -> String {
    let selected = ["-n", operator::NAMESPACE, "get", "deployment", "dougdb", "-o"];
    let path = "jsonpath={.spec.template.spec.containers[0].image}";
    let image = kubectl::run(&[&selected[..], &[path]].concat());
    let manifest = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": pod},
        "spec": {
            "restartPolicy": "Never",
            "containers": [{
                "name": "doug", "image": image,
                "args": ["status", "--endpoint", endpoint, "--timeout", "5s"],
            }],
        },
    });
    namespace.apply(&manifest.to_string()).expect("the pod is accepted");
    until("the command has ended", seconds(60), || {
        let pod = kubectl::get(&namespace.arguments(&["pod", pod]))?;
        let phase = pod["status"]["phase"].as_str()?;
        matches!(phase, "Succeeded" | "Failed").then_some(())
    });
    kubectl::run(&namespace.arguments(&["logs", pod]))
}

#[test]
fn a_service_name_resolves_in_the_image() {
    let namespace = Namespace::new("names");
    let exists = said(&namespace, "exists", "http://kubernetes.default.svc:443");
    assert!(exists.contains("kubernetes.default.svc"), "it says whom it asked: {exists}");
    assert!(!exists.contains("lookup"), "the name resolves: {exists}");
    let missing = said(&namespace, "missing", "http://no-such-service.default.svc:443");
    assert!(missing.contains("lookup"), "the name does not resolve: {missing}");
}
