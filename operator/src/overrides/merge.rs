//! Strategic merge: maps are merged field by field, null takes a field away, and a list whose
//! elements have a key of their own is merged element by element. Other lists are replaced.

use serde_json::Value;

/// The lists of a pod template that are merged, with the key of their elements: the
/// `patchMergeKey` of Kubernetes' own types.
const MERGED: [(&str, &str); 11] = [
    ("containers", "name"),
    ("initContainers", "name"),
    ("volumes", "name"),
    ("env", "name"),
    ("imagePullSecrets", "name"),
    ("resourceClaims", "name"),
    ("ports", "containerPort"),
    ("volumeMounts", "mountPath"),
    ("volumeDevices", "devicePath"),
    ("topologySpreadConstraints", "topologyKey"),
    ("hostAliases", "ip"),
];

/// Merges `patch` over `base`.
pub fn merge(base: &mut Value, patch: &Value) {
    merge_field(base, patch, "");
}

fn merge_field(base: &mut Value, patch: &Value, field: &str) {
    match (base, patch) {
        (Value::Object(base), Value::Object(patch)) => {
            for (name, value) in patch {
                if value.is_null() {
                    base.remove(name);
                } else {
                    merge_field(base.entry(name.clone()).or_insert(Value::Null), value, name);
                }
            }
        }
        (Value::Array(base), Value::Array(patch)) if key_of(field).is_some() => {
            let key = key_of(field).unwrap_or_default();
            for element in patch {
                match base.iter_mut().find(|other| other[key] == element[key]) {
                    Some(other) => merge_field(other, element, ""),
                    None => base.push(without_nulls(element)),
                }
            }
        }
        (base, patch) => *base = without_nulls(patch),
    }
}

fn key_of(field: &str) -> Option<&'static str> {
    MERGED.iter().find(|(name, _)| *name == field).map(|(_, key)| *key)
}

/// What is left when every null has taken its field away.
pub fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.clone(), without_nulls(value)))
            .collect(),
        Value::Array(elements) => elements.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

/// Elements of merged lists that lack their key, by their path and the key.
pub fn nameless(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    find_nameless(value, "", "", &mut found);
    found
}

fn find_nameless(value: &Value, field: &str, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                find_nameless(value, name, &join(path, name), found);
            }
        }
        Value::Array(elements) => {
            for (number, element) in elements.iter().enumerate() {
                let path = format!("{path}[{number}]");
                if let Some(key) = key_of(field).filter(|key| element[*key].is_null()) {
                    found.push(format!("{path}.{key}"));
                }
                find_nameless(element, "", &path, found);
            }
        }
        _ => {}
    }
}

/// The path of a field.
pub fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
