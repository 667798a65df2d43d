use super::*;
use crate::names::RESTARTED_AT;
use crate::testing::{database, resource, spec};
use crate::validate::validate;
use serde_json::json;

fn circumstances() -> Circumstances {
    Circumstances {
        image: "dougdb/doug:0.1.0".into(),
        platform: Platform::Kubernetes,
        asleep: false,
        nodes: Default::default(),
    }
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
    spec["imagePullPolicy"] = json!("Always");
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
        "replicas": 3,
        "service": {
            "type": "LoadBalancer", "port": 80, "annotations": {"lb/internal": "true"},
            "loadBalancerClass": "cloud/internal", "loadBalancerSourceRanges": ["10.0.0.0/8"],
            "externalTrafficPolicy": "Local",
        },
        "resources": {"limits": {"memory": "512Mi"}}, "memoryBudget": "128Mi",
        "serviceAccountAnnotations": {"eks.amazonaws.com/role-arn": "arn:facade"},
        "podTemplate": {"metadata": {"labels": {"team": "shop"}}},
    });
    spec["network"] = json!({
        "ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv6", "IPv4"],
    });
    spec["node"]["serviceAccountAnnotations"] = json!({"iam/role": "node"});
    spec["node"]["podTemplate"] = json!({"spec": {
        "runtimeClassName": "gvisor",
        "containers": [{"name": "proxy", "image": "proxy:1"}],
    }});
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
    let matters: [&dyn Fn(&mut Value); 4] = [
        &|spec| spec["node"]["podTemplate"] = json!({"metadata": {"labels": {"team": "shop"}}}),
        &|spec| spec["node"]["config"] = json!({"electionTimeoutMilliseconds": 300}),
        &|spec| spec["node"]["config"] = json!({"quiesceAfterMilliseconds": 0}),
        &|spec| spec["node"]["resources"] = json!({"requests": {"cpu": "1"}}),
    ];
    let does_not: [&dyn Fn(&mut Value); 4] = [
        &|spec| spec["imagePullPolicy"] = json!("Always"),
        &|spec| spec["facade"] = json!({"replicas": 5}),
        &|spec| spec["node"]["storage"]["size"] = json!("2Gi"),
        &|spec| spec["clusters"] = json!([{"name": "a", "nodes": 3}, {"name": "b", "nodes": 3}]),
    ];
    assert!(matters.iter().all(|change| hash(change) != usual));
    assert!(does_not.iter().all(|change| hash(change) == usual));
}

#[test]
fn a_platform_that_assigns_users_is_asked_for_none() {
    let openshift = Circumstances { platform: Platform::OpenShift, ..circumstances() };
    let templates = build(&database(), &openshift)
        .into_iter()
        .filter_map(|object| object.body.pointer("/spec/template/spec/securityContext").cloned());
    let contexts: Vec<Value> = templates.collect();
    assert_eq!(contexts.len(), 2, "of nodes and facade");
    for context in contexts {
        for field in ["runAsUser", "runAsGroup", "fsGroup"] {
            assert!(
                context[field].is_null(),
                "{field} is outside the namespace's range: {context}"
            );
        }
        assert_eq!(context["runAsNonRoot"], true);
    }
    assert_ne!(
        template_hash(&database(), &openshift),
        template_hash(&database(), &circumstances()),
        "a database that is told so later restarts its nodes"
    );
}

#[test]
fn zones_are_preferred_unless_something_else_is_declared() {
    let constraints = |scheduling: Value| -> Vec<String> {
        let mut spec = spec();
        spec["node"]["scheduling"] = scheduling;
        let database = validate(&resource(spec)).unwrap();
        let objects = build(&database, &circumstances());
        let set = objects.iter().find(|object| object.resource.kind == "StatefulSet").unwrap();
        let pod = &set.body["spec"]["template"]["spec"];
        let all = pod["topologySpreadConstraints"].as_array().into_iter().flatten();
        all.map(|one| {
            let text = |field: &str| one[field].to_string().replace('"', "");
            assert_eq!(one["labelSelector"]["matchLabels"]["dougdb.io/cluster"], "a");
            [text("topologyKey"), text("whenUnsatisfiable"), text("minDomains")].join(" ")
        })
        .collect()
    };
    let preferred_machines = "kubernetes.io/hostname ScheduleAnyway null";
    let preferred_zones = "topology.kubernetes.io/zone ScheduleAnyway null";
    assert_eq!(constraints(json!({})), [preferred_machines, preferred_zones]);
    let required = json!({"topology": [{
        "key": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule", "minDomains": 3,
    }]});
    assert_eq!(
        constraints(required),
        [preferred_machines, "topology.kubernetes.io/zone DoNotSchedule 3"]
    );
    assert_eq!(
        constraints(json!({"spread": "None", "topology": [{"key": "rack"}]})),
        ["rack ScheduleAnyway null"]
    );
    assert!(constraints(json!({"spread": "None"})).is_empty());
}

#[test]
fn a_database_that_sleeps_keeps_everything_but_its_pods() {
    let awake = build(&database(), &circumstances());
    let asleep = Circumstances { asleep: true, ..circumstances() };
    let mut sleeping = build(&database(), &asleep);
    for object in &mut sleeping {
        let awake = match object.resource.kind.as_str() {
            "StatefulSet" => 3,
            "Deployment" => 2,
            _ => continue,
        };
        assert_eq!(object.body["spec"]["replicas"], 0, "{}", object.name);
        object.body["spec"]["replicas"] = awake.into();
    }
    assert_eq!(sleeping, awake, "it comes back as it was");
}

#[test]
fn a_restart_that_is_asked_for_makes_every_pod_anew_once() {
    let asked = |when: &str| {
        let mut resource = resource(spec());
        resource.metadata.annotations = Some([(RESTARTED_AT.to_owned(), when.to_owned())].into());
        validate(&resource).unwrap()
    };
    let hash = |database: &Database| template_hash(database, &circumstances());
    let (once, again) = (asked("2026-01-01T12:00:00Z"), asked("2026-01-02T12:00:00Z"));
    assert_ne!(hash(&once), hash(&database()));
    assert_ne!(hash(&once), hash(&again));
    assert_eq!(hash(&once), hash(&asked("2026-01-01T12:00:00Z")), "it goes on where it stopped");
    let facade = build(&once, &circumstances()).pop().unwrap();
    assert_eq!(
        facade.body["spec"]["template"]["metadata"]["annotations"][RESTARTED_AT],
        "2026-01-01T12:00:00Z"
    );
}
