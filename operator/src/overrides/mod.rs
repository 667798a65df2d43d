//! What a user changes about the pods that this operator makes: `node.podTemplate` and
//! `facade.podTemplate`, merged over them as `kubectl patch --type=strategic` would.
//!
//! Parsed, not only checked: [`Overrides`] exist only where they leave alone what the operator
//! must own, so that whoever builds pods merges them without asking.

mod merge;
mod refusals;

use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::Value;

/// Whose pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// The nodes of every cluster.
    Node,
    /// The facade's.
    Facade,
}

impl Component {
    /// The name of its container, and of its part of the spec.
    pub fn name(self) -> &'static str {
        match self {
            Component::Node => "node",
            Component::Facade => "facade",
        }
    }
}

/// A part of a pod template that changes nothing which the operator must own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides(Value);

impl Overrides {
    /// Reads what is declared.
    ///
    /// # Errors
    /// A sentence that names every field which is refused, or is no field of a pod.
    pub fn parse(component: Component, declared: Option<&Value>) -> Result<Self, String> {
        let Some(declared) = declared else { return Ok(Self::default()) };
        let field = format!("{}.podTemplate", component.name());
        let whole = merge::without_nulls(declared);
        let typed: PodTemplateSpec = serde_json::from_value(whole.clone())
            .map_err(|error| format!("{field} is no pod template: {error}"))?;
        let typed = serde_json::to_value(typed).unwrap_or_default();
        let unknown = refusals::unknown(&whole, &typed);
        if !unknown.is_empty() {
            return Err(format!(
                "{field} has what is no field of a pod template: {}. Correct its name or its place",
                unknown.join(", ")
            ));
        }
        let nameless = merge::nameless(&whole);
        if !nameless.is_empty() {
            return Err(format!(
                "{field} has elements without that by which they are merged: {}. Give it",
                nameless.join(", ")
            ));
        }
        let owned = refusals::owned(component, declared);
        if !owned.is_empty() {
            return Err(format!(
                "{field} changes what the operator must own: {}. Leave it out",
                owned.join("; ")
            ));
        }
        Ok(Self(declared.clone()))
    }

    /// Merges them over a pod template that the operator built.
    pub fn merge_over(&self, template: &mut Value) {
        if !self.0.is_null() {
            merge::merge(template, &self.0);
        }
    }
}

#[cfg(test)]
mod tests;
