use super::*;
use crate::testing::{database, resource, spec};
use crate::validate::validate;

fn circumstances() -> Circumstances {
    Circumstances { image: "dougdb/doug:0.1.0".into() }
}

fn yaml(database: &Database) -> String {
    let bodies = build(database, &circumstances()).into_iter().map(|object| object.body);
    let texts = bodies.map(|body| serde_yaml_ng::to_string(&body).unwrap());
    texts.collect::<Vec<_>>().join("---\n")
}

#[test]
fn a_small_database_is_these_objects() {
    insta::assert_snapshot!(yaml(&database()));
}

#[test]
fn everything_declared_finds_its_place() {
    let mut spec = spec();
    spec["imagePullSecrets"] = json!(["registry"]);
    spec["clusters"] = json!([{"name": "a", "nodes": 3}, {"name": "b", "nodes": 5}]);
    spec["node"] = json!({
        "storage": {"size": "20Gi", "className": "fast", "whenDeleted": "Delete"},
        "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "2Gi"}},
        "scheduling": {
            "spread": "Required", "nodeSelector": {"disk": "nvme"}, "priorityClassName": "high",
            "tolerations": [{"key": "db", "operator": "Exists"}],
        },
        "config": {
            "electionTimeoutMilliseconds": 300, "quiesceAfterMilliseconds": 0,
            "memoryBudget": "1Gi", "logLimit": "1Gi",
        },
    });
    spec["facade"] = json!({
        "replicas": 3, "service": {"type": "LoadBalancer", "port": 80},
        "resources": {"limits": {"memory": "512Mi"}}, "memoryBudget": "128Mi",
    });
    insta::assert_snapshot!(yaml(&validate(&resource(spec)).unwrap()));
}

#[test]
fn a_node_is_restarted_for_what_matters_to_it_only() {
    let hash = |change: &dyn Fn(&mut Value)| {
        let mut spec = spec();
        change(&mut spec);
        template_hash(&validate(&resource(spec)).unwrap(), &circumstances())
    };
    let usual = hash(&|_| {});
    let matters: [&dyn Fn(&mut Value); 3] = [
        &|spec| spec["node"]["config"] = json!({"electionTimeoutMilliseconds": 300}),
        &|spec| spec["node"]["config"] = json!({"quiesceAfterMilliseconds": 0}),
        &|spec| spec["node"]["resources"] = json!({"requests": {"cpu": "1"}}),
    ];
    let does_not: [&dyn Fn(&mut Value); 3] = [
        &|spec| spec["facade"] = json!({"replicas": 5}),
        &|spec| spec["node"]["storage"]["size"] = json!("2Gi"),
        &|spec| spec["clusters"] = json!([{"name": "a", "nodes": 3}, {"name": "b", "nodes": 3}]),
    ];
    assert!(matters.iter().all(|change| hash(change) != usual));
    assert!(does_not.iter().all(|change| hash(change) == usual));
}
