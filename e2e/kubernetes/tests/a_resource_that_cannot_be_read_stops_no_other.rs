//! A DougCluster that the operator cannot read, as after going back to an older version, is left
//! alone and says so; all others are cared for, by an operator started since, too.

use doug_kubernetes_tests::database::Database;
use doug_kubernetes_tests::manifest::Manifest;
use doug_kubernetes_tests::namespace::Namespace;
use doug_kubernetes_tests::wait::{seconds, until};
use doug_kubernetes_tests::{kubectl, operator};
use serde_json::{Value, json};

const CRD: [&str; 2] = ["crd", "dougclusters.dougdb.io"];
const SCHEMA: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
const UNREADABLE: &str = "
apiVersion: dougdb.io/v1alpha1
kind: DougCluster
metadata: {name: newer}
spec: {partitioning: {by: {another: rule}}, clusters: {a: 3}}
";

/// The definition without its rules, until it is dropped.
struct Lenient(Value);

impl Lenient {
    fn new() -> Self {
        let strict = kubectl::get(&CRD).expect("the definition");
        let strict = strict.pointer(SCHEMA).expect("its schema").clone();
        replace(&json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}));
        Self(strict)
    }
}

impl Drop for Lenient {
    fn drop(&mut self) {
        replace(&self.0);
    }
}

fn replace(schema: &Value) {
    let patch = json!([{"op": "replace", "path": SCHEMA, "value": schema}]).to_string();
    kubectl::run(&["patch", CRD[0], CRD[1], "--type=json", "-p", &patch]);
}

#[test]
fn a_resource_that_cannot_be_read_stops_no_other() {
    let namespace = Namespace::new("unreadable");
    let lenient = Lenient::new();
    until("the unreadable resource is let in", seconds(30), || namespace.apply(UNREADABLE).ok());
    operator::kill();
    let reason = || {
        let object = kubectl::get(&namespace.arguments(&["dougcluster", "newer"]))?;
        let conditions = object["status"]["conditions"].as_array()?;
        let degraded = conditions.iter().find(|one| one["type"] == "Degraded")?;
        (degraded["reason"] == "UnreadableResource").then_some(())
    };
    until("it says that it cannot be read", seconds(60), reason);

    let database = Database::create(&namespace, &Manifest::new("orders"));
    database.await_settled(seconds(120));
    database.kubectl(&["delete", "dougcluster", "newer"]);
    drop(lenient);
}
