//! What people and reviewers read of the definition, generated from it: the reference in `docs/`,
//! and the baseline against which a change is measured.
//!
//! `DOUG_UPDATE=1 cargo test -p doug-crds` writes both anew.

use serde_json::Value;
use std::collections::BTreeSet;

const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/dougcluster.md");
const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/baseline.txt");

const HEAD: &str = "\
# DougCluster, field by field

Generated from the types in `crds/`; `kubectl explain dougcluster.spec` says the same. How it is
meant to be used: [kubernetes.md](kubernetes.md). What is refused beyond this, and why, is said by
the rules in `doug crds`.
";

/// A field of the definition.
struct Field {
    path: String,
    schema: Value,
    required: bool,
}

/// Every field, each before those within it.
fn fields() -> Vec<Field> {
    let definition: Value = serde_yaml_ng::from_str(&doug_crds::yaml()).unwrap();
    let root = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let mut fields = Vec::new();
    collect("", root, &mut fields);
    fields
}

fn collect(path: &str, schema: &Value, fields: &mut Vec<Field>) {
    let required = schema["required"].as_array();
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let required = required.is_some_and(|names| names.iter().any(|one| one == name));
        fields.push(Field { path: path.clone(), schema: inner.clone(), required });
        collect(&path, inner, fields);
        collect(&format!("{path}[]"), &inner["items"], fields);
    }
}

/// What a value may be, in a few words.
fn kind(schema: &Value) -> String {
    let mut words = match schema["enum"].as_array() {
        Some(values) => {
            let values: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
            values.join(" \\| ")
        }
        None => match schema["type"].as_str().unwrap_or("any") {
            "array" => format!("list of {}", kind(&schema["items"])),
            "object" if schema["additionalProperties"].is_object() => "map".to_owned(),
            other => other.to_owned(),
        },
    };
    let limits = [
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " of them"),
        ("minProperties", "maxProperties", " of them"),
    ];
    for (least, most, unit) in limits {
        let number = |field: &str| schema[field].as_f64();
        words += &match (number(least), number(most)) {
            (Some(least), Some(most)) => format!(", {least} to {most}{unit}"),
            (None, Some(most)) => format!(", at most {most}{unit}"),
            (Some(least), None) => format!(", at least {least}{unit}"),
            (None, None) => String::new(),
        };
    }
    words
}

fn reference() -> String {
    let mut text = HEAD.to_owned();
    for (part, title) in [("spec", "What is declared"), ("status", "What is reported")] {
        text += &format!("\n## {title}\n\n| field | | default | |\n|---|---|---|---|\n");
        let prefix = format!("{part}.");
        for Field { path, schema, required } in fields() {
            let Some(name) = path.strip_prefix(&prefix) else { continue };
            if is_within_a_pod_template(name) {
                continue;
            }
            let default = match (&schema["default"], required) {
                (Value::Null, true) => "required".to_owned(),
                (Value::Null, false) => String::new(),
                (default, _) => format!("`{default}`"),
            };
            let description = schema["description"].as_str().unwrap_or_default();
            text += &format!(
                "| `{name}` | {} | {default} | {} |\n",
                kind(&schema),
                description.replace('|', "\\|")
            );
        }
    }
    text
}

/// Of a pod template only what rules look at is spelled out; the rest is let through.
fn is_within_a_pod_template(path: &str) -> bool {
    path.contains("podTemplate.")
}

/// A line for each thing that lets something in or keeps it out.
fn baseline() -> String {
    let mut lines = Vec::new();
    for Field { path, schema, required } in fields() {
        let mut line = format!("{path}: {}", kind(&schema));
        if required {
            line += ", required";
        }
        for said in ["pattern", "default"] {
            if !schema[said].is_null() {
                line += &format!(", {said} {}", schema[said]);
            }
        }
        lines.push(line);
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            lines.push(format!("{path}: only if {}", rule["rule"].as_str().unwrap_or_default()));
        }
    }
    lines.join("\n") + "\n"
}

fn stored(path: &str, generated: &str) -> String {
    if std::env::var_os("DOUG_UPDATE").is_some() {
        std::fs::write(path, generated).unwrap();
    }
    std::fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn the_reference_says_what_the_types_say() {
    let generated = reference();
    assert!(
        stored(REFERENCE, &generated) == generated,
        "docs/dougcluster.md is not in step: run `DOUG_UPDATE=1 cargo test -p doug-crds`"
    );
}

/// Until the first release a change renews the baseline in its commit, where it is seen.
#[test]
fn a_change_of_what_is_let_in_is_seen() {
    let generated = baseline();
    let stored = stored(BASELINE, &generated);
    let (old, new): (BTreeSet<_>, BTreeSet<_>) =
        (stored.lines().collect(), generated.lines().collect());
    let list = |lines: Vec<&&str>| {
        lines.iter().map(|line| format!("\n  {line}")).collect::<Vec<_>>().concat()
    };
    let gone = list(old.difference(&new).collect());
    let added = list(new.difference(&old).collect());
    assert!(
        gone.is_empty() && added.is_empty(),
        "the definition is not what crds/baseline.txt says. Gone or narrower, so that a stored \
         DougCluster may be refused:{gone}\nNew:{added}\nIf that is meant: `DOUG_UPDATE=1 cargo \
         test -p doug-crds`"
    );
}

#[test]
fn every_field_of_the_spec_is_described() {
    let all = fields();
    let silent = all.iter().filter(|field| {
        !is_within_a_pod_template(&field.path) && field.schema["description"].is_null()
    });
    let silent: Vec<&str> = silent.map(|field| field.path.as_str()).collect();
    let own: Vec<&&str> = silent.iter().filter(|path| path.starts_with("spec.")).collect();
    assert!(own.is_empty(), "without a word: {own:?}");
}
