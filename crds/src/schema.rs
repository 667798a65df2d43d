//! What the derived schema lacks, or has and Kubernetes does not want.

use crate::limits;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use schemars::{Schema, SchemaGenerator, json_schema};

/// A few quantities by name. An API server without bounds for both would have
/// to assume the worst of every rule about them.
pub fn quantities(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 3,
        "additionalProperties": {"type": "string", "maxLength": limits::QUANTITY},
    })
}

/// Labels that a machine must have.
pub fn labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": {"type": "string", "maxLength": 63},
    })
}

/// Replaces formats that Kubernetes does not know, since it warns about each at
/// every apply. Takes out `nullable`, so that the API server prunes a field that
/// is null, and `has()` in a rule means that there is a value.
pub fn tidy(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut definition.spec.versions {
        let schema = version.schema.as_mut().and_then(|s| s.open_api_v3_schema.as_mut());
        if let Some(schema) = schema {
            tidy_schema(schema);
        }
    }
    definition
}

fn tidy_schema(schema: &mut JSONSchemaProps) {
    match schema.format.as_deref() {
        Some("uint64") => schema.format = Some("int64".to_owned()),
        Some("uint16" | "uint32") => schema.format = Some("int32".to_owned()),
        _ => {}
    }
    schema.nullable = None;
    for property in schema.properties.iter_mut().flat_map(|p| p.values_mut()) {
        tidy_schema(property);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        tidy_schema(items);
    }
}
