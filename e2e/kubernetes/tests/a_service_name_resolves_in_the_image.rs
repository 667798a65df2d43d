//! The image has nothing but `doug` and libraries, and yet resolves names: of a
//! Service that exists it is refused an answer, of one that does not exist the name.

use doug_kubernetes_tests::command;
use doug_kubernetes_tests::namespace::Namespace;

/// What the library says of a name that means nothing.
const UNRESOLVED: &str = "its name could not be resolved";

/// What `doug status` says in a pod of the operator's image about an endpoint.
fn said(namespace: &Namespace, pod: &str, endpoint: &str) -> String {
    command::run(namespace, pod, &["status", "--endpoint", endpoint, "--timeout", "5s"]).said
}

#[test]
fn a_service_name_resolves_in_the_image() {
    let namespace = Namespace::new("names");
    let exists = said(&namespace, "exists", "http://kubernetes.default.svc:443");
    assert!(exists.contains("kubernetes.default.svc"), "it says whom it asked: {exists}");
    assert!(!exists.contains(UNRESOLVED), "the name resolves: {exists}");
    let missing = said(&namespace, "missing", "http://no-such-service.default.svc:443");
    assert!(missing.contains(UNRESOLVED), "the name does not resolve: {missing}");
}
