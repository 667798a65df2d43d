//! The rules of the definition, evaluated here as the API server does there.

use doug_crds::yaml;
use kube::core::cel::Validator;
use serde_json::{Value, json};
use std::path::Path;

const WRONG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../e2e/kubernetes/manifests/wrong");

fn schema() -> Value {
    let definition: Value = serde_yaml_ng::from_str(&yaml()).unwrap();
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// What the rules say of an object that replaces `old`.
fn refusals(object: &Value, old: Option<&Value>) -> String {
    match Validator::new().validate(&schema(), object, old) {
        Ok(()) => String::new(),
        Err(errors) => errors.to_string(),
    }
}

fn usual() -> Value {
    json!({
        "apiVersion": "dougdb.io/v1alpha1", "kind": "DougCluster", "metadata": {"name": "orders"},
        "spec": {
            "partitioning": {"hash": {"partitions": 4}},
            "clusters": [{"name": "a", "nodes": 3}],
            "node": {"storage": {"size": "1Gi", "className": "fast"}},
        },
        "status": {"partitionMap": {"epoch": 4}},
    })
}

fn changed(change: impl FnOnce(&mut Value)) -> String {
    let mut object = usual();
    change(&mut object);
    refusals(&object, Some(&usual()))
}

#[test]
fn the_usual_is_not_refused() {
    assert_eq!(refusals(&usual(), None), "");
    assert_eq!(changed(|object| object["spec"]["node"]["storage"]["size"] = json!("2Gi")), "");
    assert_eq!(changed(|object| object["spec"]["clusters"][0]["nodes"] = json!(5)), "");
    assert_eq!(changed(|object| object["status"]["partitionMap"]["epoch"] = json!(5)), "");
}

#[test]
fn changes_that_cannot_be_made_are_refused_with_the_reason() {
    let texts = [
        changed(|object| object["spec"]["partitioning"]["hash"]["partitions"] = json!(8)),
        changed(|object| object["spec"]["node"]["storage"]["size"] = json!("512Mi")),
        changed(|object| object["spec"]["node"]["storage"]["className"] = json!("slow")),
        changed(|object| object["status"]["partitionMap"]["epoch"] = json!(3)),
    ];
    insta::assert_snapshot!(texts.join("\n"));
}

#[test]
fn wrong_manifests_are_refused_in_the_words_expected() {
    let mut refused = 0;
    for entry in std::fs::read_dir(Path::new(WRONG)).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let first = text.lines().next().unwrap_or_default();
        let Some(words) = first.strip_prefix("# expect: refused by a rule: ") else { continue };
        let manifest: Value = serde_yaml_ng::from_str(&text).unwrap();
        let said = refusals(&manifest, None);
        assert!(said.contains(words), "{}: {said:?}", path.display());
        refused += 1;
    }
    assert!(refused >= 20, "only {refused} manifests expect this");
}
