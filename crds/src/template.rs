//! The schema of `node.podTemplate` and `facade.podTemplate`. A pod template's whole schema is
//! thousands of lines that change with each Kubernetes, so it is not repeated here: most of it is
//! let through, and the operator reads it as a pod template. Only what rules look at is spelled
//! out, so that the commonest mistakes are refused by `kubectl apply`.

use crate::limits;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// The template of nodes.
pub fn node(_: &mut SchemaGenerator) -> Schema {
    schema("node")
}

/// The template of facades.
pub fn facade(_: &mut SchemaGenerator) -> Schema {
    schema("facade")
}

/// Annotations, of pods or of another object.
pub fn annotations(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": limits::ANNOTATIONS,
        "additionalProperties": {"type": "string", "maxLength": limits::ANNOTATION},
    })
}

fn schema(container: &str) -> Schema {
    let own_labels = "['app.kubernetes.io/name', 'app.kubernetes.io/instance', \
                      'app.kubernetes.io/component']";
    json_schema!({
        "type": "object",
        "properties": {
            "metadata": {
                "type": "object",
                "properties": {
                    "labels": strings(64, 63, rule(
                        &format!("self.all(key, !key.startsWith('dougdb.io/') && !(key in \
                            {own_labels}))"),
                        "podTemplate cannot change the labels by which pods are selected: \
                         app.kubernetes.io/name, instance and component, and those of dougdb.io",
                    )),
                    "annotations": strings(limits::ANNOTATIONS, limits::ANNOTATION, rule(
                        "self.all(key, !key.startsWith('dougdb.io/'))",
                        "podTemplate cannot set annotations of dougdb.io: the operator works by \
                         them",
                    )),
                },
            },
            "spec": {
                "type": "object",
                "x-kubernetes-preserve-unknown-fields": true,
                "properties": {
                    "restartPolicy": {"type": "string"},
                    "containers": {
                        "type": "array",
                        "maxItems": 16,
                        "items": {
                            "type": "object",
                            "required": ["name"],
                            "x-kubernetes-preserve-unknown-fields": true,
                            "properties": {
                                "name": {"type": "string", "minLength": 1, "maxLength": 63},
                                "image": {"type": "string"},
                                "command": {"type": "array", "items": {"type": "string"}},
                                "args": {"type": "array", "items": {"type": "string"}},
                            },
                        },
                        "x-kubernetes-validations": [rule(
                            &format!(
                                "self.all(one, one.name != '{container}' || !(has(one.command) \
                                 || has(one.args) || has(one.image)))"
                            ),
                            &format!(
                                "podTemplate cannot change command, args or image of the container \
                                 {container}, which the operator must own: see config and \
                                 spec.image"
                            ),
                        )],
                    },
                },
                "x-kubernetes-validations": [rule(
                    "!has(self.restartPolicy)",
                    "podTemplate cannot set restartPolicy: the process is always started again",
                )],
            },
        },
    })
}

fn strings(most: usize, longest: usize, rule: Value) -> Value {
    json!({
        "type": "object",
        "maxProperties": most,
        "additionalProperties": {"type": "string", "maxLength": longest},
        "x-kubernetes-validations": [rule],
    })
}

fn rule(rule: &str, message: &str) -> Value {
    json!({"rule": rule, "message": message})
}
