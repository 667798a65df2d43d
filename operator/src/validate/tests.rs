use super::*;
use crate::testing::{resource, spec};
use doug_proto::limits;
use serde_json::{Value, json};

fn refusal(change: impl FnOnce(&mut Value)) -> String {
    let mut spec = spec();
    change(&mut spec);
    validate(&resource(spec)).expect_err("this declaration cannot work")
}

#[test]
fn names_of_objects_follow_from_the_declaration() {
    let database = validate(&resource(spec())).unwrap();
    let place = Place { cluster: "a".into(), ordinal: 2 };
    assert_eq!(database.pod_name(&place), "orders-a-2");
    assert_eq!(database.claim_name(&place), "data-orders-a-2");
    assert_eq!(database.address(&place), "orders-a-2.orders-a.shop.svc");
    assert_eq!(database.endpoint(), "orders-facade.shop.svc:7400");
}

#[test]
fn what_cannot_work_is_refused_with_the_remedy() {
    let texts = [
        refusal(|spec| spec["clusters"] = json!([])),
        refusal(|spec| spec["clusters"] = json!([{"name": "a", "nodes": 4}])),
        refusal(|spec| spec["clusters"] = json!([{"name": "a"}, {"name": "a"}])),
        refusal(|spec| spec["clusters"][0]["name"] = json!("A")),
        refusal(|spec| spec["clusters"][0]["name"] = json!("a-b")),
        refusal(|spec| spec["clusters"][0]["name"] = json!("facade")),
        refusal(|spec| spec["clusters"][0]["name"] = json!("nodes")),
        refusal(|spec| spec["partitioning"] = json!({})),
        refusal(|spec| spec["partitioning"]["range"] = json!({"splitKeys": []})),
        refusal(|spec| spec["partitioning"]["hash"]["partitions"] = json!(5_000)),
        refusal(|spec| spec["partitioning"]["hash"]["prefixDelimiter"] = json!("")),
        refusal(|spec| {
            spec["partitioning"] = json!({"range": {"splitKeys": [{"text": "m"}, {"text": "c"}]}});
        }),
        refusal(|spec| {
            spec["partitioning"] = json!({"range": {"splitKeys": [{"base64": "!!"}]}});
        }),
        refusal(|spec| spec["node"]["storage"]["size"] = json!("lots")),
        refusal(|spec| spec["node"]["storage"]["size"] = json!("600Mi")),
        refusal(|spec| spec["node"]["replaceAfter"] = json!("soon")),
        refusal(|spec| spec["node"]["replaceAfter"] = json!("5s")),
        refusal(|spec| spec["node"]["resources"] = json!({"limits": {"memory": "256Mi"}})),
        refusal(|spec| spec["node"]["resources"] = json!({"requests": {"gpu": "1"}})),
        refusal(|spec| {
            spec["node"]["resources"] =
                json!({"requests": {"cpu": "2"}, "limits": {"cpu": "500m"}});
        }),
        refusal(|spec| {
            spec["node"]["scheduling"] =
                json!({"tolerations": [{"key": "db", "operator": "Exists", "value": "x"}]});
        }),
        refusal(|spec| {
            spec["node"]["scheduling"] = json!({"topology": [{"key": "rack", "minDomains": 3}]});
        }),
        refusal(|spec| {
            spec["facade"] =
                json!({"memoryBudget": "1Gi", "resources": {"limits": {"memory": "512Mi"}}});
        }),
    ];
    insta::assert_snapshot!(texts.join("\n"));
}

#[test]
fn the_definition_lets_in_no_size_that_a_server_would_refuse_at_its_start() {
    let definition = doug_crds::yaml();
    for (rule, least) in [
        ("memoryBudget is a quantity of at least ", limits::NODE_MEMORY_BYTES),
        ("logLimit is a quantity of at least ", limits::LOG_BYTES),
        ("memoryBudget of the facade is a quantity of at least ", limits::FACADE_MEMORY_BYTES),
    ] {
        let (_, from_size) = definition.split_once(&format!("- message: {rule}")).expect(rule);
        let size = from_size.split(',').next().unwrap();
        assert_eq!(bytes(size), Some(least), "{rule}{size}");
        assert!(from_size.contains(&format!("compareTo(quantity('{size}')) >= 0")), "{rule}{size}");
    }
}

/// Manifests that the end-to-end suite applies to a real API server, too.
const WRONG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../e2e/kubernetes/manifests/wrong");

#[test]
fn what_the_api_server_lets_through_is_refused_here_in_the_words_expected() {
    let mut refused = 0;
    for entry in std::fs::read_dir(WRONG).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let first = text.lines().next().unwrap_or_default();
        let Some(words) = first.strip_prefix("# expect: degraded with InvalidSpec: ") else {
            continue;
        };
        let mut cluster: doug_crds::DougCluster = serde_yaml_ng::from_str(&text).unwrap();
        cluster.metadata.namespace = Some("shop".into());
        let refusal = validate(&cluster).expect_err(first);
        assert!(refusal.contains(words), "{}: {refusal}", path.display());
        refused += 1;
    }
    assert!(refused >= 5, "only {refused} manifests expect this");
}
