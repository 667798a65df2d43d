//! A policy that refuses users outside a range, as OpenShift's SecurityContextConstraints do; a pod
//! template that asks for one of the range; and racks, over which nodes must spread.

use doug_kubernetes_tests::database::Database;
use doug_kubernetes_tests::kubectl;
use doug_kubernetes_tests::manifest::Manifest;
use doug_kubernetes_tests::namespace::Namespace;
use doug_kubernetes_tests::wait::{seconds, until};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// One of the range that the policy allows.
const USER: u64 = 1_000_680_000;
const RACK: &str = "doug-test/rack";
const POLICY: &str = "
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: doug-users-of-a-range}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - {apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}
  validations:
  - &range
    expression: 'object.spec.?securityContext.?runAsUser.orValue(1000680000) >= 1000680000'
    message: must be in the range of the namespace
  - <<: *range
    expression: 'object.spec.?securityContext.?runAsGroup.orValue(1000680000) >= 1000680000'
  - <<: *range
    expression: 'object.spec.?securityContext.?fsGroup.orValue(1000680000) >= 1000680000'
  - expression: 'object.spec.containers.all(c, !c.?securityContext.?runAsUser.hasValue())'
    message: containers ask for no user
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: doug-users-of-a-range}
spec:
  policyName: doug-users-of-a-range
  validationActions: [Deny]
  matchResources:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: doug-openshift}}
";

/// What belongs to the whole Kubernetes cluster, taken away when dropped.
struct Preparation(Vec<String>);

impl Preparation {
    /// Two machines in a rack of their own each; the third is in none.
    fn new(namespace: &Namespace) -> Self {
        namespace.apply(POLICY).expect("the policy is applied");
        let machines = kubectl::list(&["nodes"]);
        let names = machines.iter().filter_map(|one| one["metadata"]["name"].as_str());
        let racked: Vec<String> = names.take(2).map(str::to_owned).collect();
        for name in &racked {
            kubectl::run(&["label", "--overwrite", "node", name, &format!("{RACK}={name}")]);
        }
        Self(racked)
    }
}

impl Drop for Preparation {
    fn drop(&mut self) {
        for name in &self.0 {
            let _ = kubectl::attempt(&["label", "node", name, &format!("{RACK}-")]);
        }
        let kinds = "validatingadmissionpolicybinding,validatingadmissionpolicy";
        let _ = kubectl::attempt(&["delete", kinds, "doug-users-of-a-range", "--ignore-not-found"]);
    }
}

/// Whether a pod that asks for this user would be let in. Nothing is made.
fn admitted(namespace: &Namespace, user: u64) -> Result<String, String> {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe"},
        "spec": {
            "securityContext": {"runAsUser": user},
            "containers": [{"name": "probe", "image": "probe"}],
        },
    });
    let arguments = namespace.arguments(&["create", "--dry-run=server", "-f", "-"]);
    kubectl::attempt_with(&arguments, &pod.to_string())
}

#[test]
fn pods_are_made_as_owner_and_platform_want_them() {
    let namespace = Namespace::new("openshift");
    let preparation = Preparation::new(&namespace);
    until("the policy refuses what pods ask for elsewhere", seconds(60), || {
        admitted(&namespace, 65_532).err().filter(|why| why.contains("must be in the range"))
    });
    admitted(&namespace, USER).expect("one of the range is let in");

    // OpenShift would write these into each pod that asks for none.
    let user = json!({"runAsUser": USER, "runAsGroup": USER, "fsGroup": USER});
    let template = |label: &str| {
        json!({
            "metadata": {"labels": {"team": label}},
            "spec": {"securityContext": user},
        })
    };
    let rack = json!([{"key": RACK, "whenUnsatisfiable": "DoNotSchedule"}]);
    let manifest = Manifest::new("orders")
        .with("/platform", json!("OpenShift"))
        .with("/node/scheduling", json!({"topology": rack}))
        .with("/node/podTemplate", template("data"))
        .with("/facade/podTemplate", template("edge"));
    let database = Database::create(&namespace, &manifest);
    database.await_ready_nodes(3);

    for (component, label) in [("node", "data"), ("facade", "edge")] {
        for pod in database.pods(component) {
            let is = |path: &str| pod.0.pointer(path).cloned().unwrap_or(Value::Null);
            assert_eq!(is("/spec/securityContext/runAsUser"), USER, "{}", pod.name());
            assert_eq!(is("/spec/securityContext/runAsNonRoot"), true, "{}", pod.name());
            assert_eq!(is("/metadata/labels/team"), label, "{}", pod.name());
        }
    }
    let pods = database.pods("node");
    let machines: BTreeSet<&str> = pods.iter().map(|pod| pod.node()).collect();
    let racked: BTreeSet<&str> = preparation.0.iter().map(String::as_str).collect();
    assert_eq!(machines, racked, "a machine that is in no rack has no node");
}
