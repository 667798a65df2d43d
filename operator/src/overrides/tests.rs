use super::*;
use serde_json::json;

fn merged(patch: Value) -> Value {
    let mut template = json!({
        "metadata": {"labels": {"app.kubernetes.io/name": "dougdb"}},
        "spec": {
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65_532},
            "tolerations": [{"key": "old"}],
            "containers": [{
                "name": "node", "image": "doug:1", "args": ["node"],
                "env": [{"name": "POD_NAME", "value": "x"}],
                "volumeMounts": [{"name": "data", "mountPath": "/var/lib/dougdb"}],
            }],
        },
    });
    let overrides = Overrides::parse(Component::Node, Some(&patch)).expect("this can be merged");
    overrides.merge_over(&mut template);
    template
}

fn refusal(component: Component, patch: Value) -> String {
    Overrides::parse(component, Some(&patch)).expect_err("this cannot be merged")
}

#[test]
fn maps_are_merged_and_lists_with_a_key_element_by_element() {
    let template = merged(json!({
        "metadata": {"labels": {"team": "shop"}, "annotations": {"sidecar.istio.io/inject": "true"}},
        "spec": {
            "runtimeClassName": "gvisor",
            "containers": [
                {"name": "proxy", "image": "proxy:1"},
                {"name": "node", "env": [{"name": "DOUG_LOG", "value": "debug"}]},
            ],
            "volumes": [{"name": "scratch", "emptyDir": {}}],
        },
    }));
    let expected = json!({
        "metadata": {
            "labels": {"app.kubernetes.io/name": "dougdb", "team": "shop"},
            "annotations": {"sidecar.istio.io/inject": "true"},
        },
        "spec": {
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65_532},
            "tolerations": [{"key": "old"}],
            "runtimeClassName": "gvisor",
            "containers": [
                {
                    "name": "node", "image": "doug:1", "args": ["node"],
                    "env": [
                        {"name": "POD_NAME", "value": "x"}, {"name": "DOUG_LOG", "value": "debug"},
                    ],
                    "volumeMounts": [{"name": "data", "mountPath": "/var/lib/dougdb"}],
                },
                {"name": "proxy", "image": "proxy:1"},
            ],
            "volumes": [{"name": "scratch", "emptyDir": {}}],
        },
    });
    assert_eq!(template, expected);
}

#[test]
fn null_takes_a_field_away_and_a_list_without_a_key_is_replaced() {
    let template = merged(json!({"spec": {
        "securityContext": {"runAsUser": null, "fsGroup": 2_000},
        "tolerations": [{"key": "new", "operator": "Exists"}],
    }}));
    assert_eq!(
        template["spec"]["securityContext"],
        json!({"runAsNonRoot": true, "fsGroup": 2_000})
    );
    assert_eq!(template["spec"]["tolerations"], json!([{"key": "new", "operator": "Exists"}]));
}

#[test]
fn what_the_operator_must_own_is_refused_by_name() {
    let of_node = |patch| refusal(Component::Node, patch);
    let main = |fields: Value| {
        let mut container = json!({"name": "node"});
        merge::merge(&mut container, &fields);
        of_node(json!({"spec": {"containers": [container]}}))
    };
    let texts = [
        of_node(json!({"spec": {"restartPolicy": "Never", "hostname": null}})),
        of_node(json!({"spec": {"terminationGracePeriodSeconds": 5}})),
        of_node(json!({"spec": {"volumes": [{"name": "data", "emptyDir": {}}]}})),
        of_node(json!({"spec": {"initContainers": [{"name": "node", "image": "x"}]}})),
        of_node(json!({"metadata": {"name": "mine", "labels": {
            "app.kubernetes.io/component": "facade", "dougdb.io/cluster": "b",
        }}})),
        of_node(json!({"metadata": {"annotations": {"dougdb.io/template-hash": "0"}}})),
        main(json!({"command": ["sh"], "args": ["-c"], "ports": [{"containerPort": 1}]})),
        main(json!({"image": "mine", "resources": {}})),
        main(json!({"env": [{"name": "POD_INDEX", "value": "0"}]})),
        main(json!({"volumeMounts": [{"name": "x", "mountPath": "/var/lib/dougdb/node/"}]})),
        main(json!({"volumeMounts": [{"name": "x", "mountPath": "/etc"}]})),
        refusal(Component::Facade, json!({"spec": {"automountServiceAccountToken": false}})),
        refusal(
            Component::Facade,
            json!({"spec": {"containers": [{"name": "facade", "lifecycle": {}}]}}),
        ),
    ];
    insta::assert_snapshot!(texts.join("\n"));
}

#[test]
fn what_is_no_field_of_a_pod_is_refused_by_its_path() {
    let texts = [
        refusal(Component::Node, json!({"spec": {"tolerationz": [], "nodeSelector": {"a": "b"}}})),
        refusal(Component::Node, json!({"spec": {"containers": [{"name": "x", "img": "y"}]}})),
        refusal(Component::Node, json!({"spec": {"containers": [{"image": "y"}]}})),
        refusal(Component::Node, json!({"spec": {"containers": [{"$patch": "delete"}]}})),
        refusal(Component::Node, json!({"spec": {"priority": "high"}})),
        refusal(Component::Node, json!({"status": {}})),
    ];
    insta::assert_snapshot!(texts.join("\n"));
}

#[test]
fn a_path_beside_the_operators_own_is_free() {
    let mounts = json!([{"name": "x", "mountPath": "/var/lib/dougdb-extra"}]);
    let template =
        merged(json!({"spec": {"containers": [{"name": "node", "volumeMounts": mounts}]}}));
    assert_eq!(template["spec"]["containers"][0]["volumeMounts"].as_array().map(Vec::len), Some(2));
}
