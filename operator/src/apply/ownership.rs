//! Whose object it is.

use crate::build::{INSTANCE, MANAGED_BY, MANAGER};
use crate::validate::Database;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// What an object that exists is to a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It may be applied.
    Ours,
    /// Someone else's, who is named.
    Foreign(String),
    /// It is of a deleted DougCluster, and on its way out.
    Leaving,
    /// It is ours and on its way out, to be made again: its claim templates grow, or somebody has
    /// deleted it.
    Ending,
}

/// Ours is what this DougCluster owns, and what its namesake left behind
/// without an owner. Labels alone are not enough where an owner says otherwise.
pub fn claim(database: &Database, found: &ObjectMeta) -> Claim {
    let owners = found.owner_references.iter().flatten();
    if found.deletion_timestamp.is_some() {
        let ours = owners.into_iter().any(|owner| owner.uid == database.uid);
        return if ours { Claim::Ending } else { Claim::Leaving };
    }
    if let Some(owner) = owners.clone().find(|owner| owner.controller == Some(true)) {
        if owner.uid == database.uid {
            return Claim::Ours;
        }
        let namesake = owner.kind == "DougCluster"
            && owner.api_version.starts_with("dougdb.io/")
            && owner.name == database.name;
        return if namesake {
            Claim::Leaving
        } else {
            Claim::Foreign(format!("{} {}", owner.kind, owner.name))
        };
    }
    let label = |name: &str| found.labels.as_ref().and_then(|labels| labels.get(name));
    let left_behind = label(MANAGED_BY).is_some_and(|manager| manager == MANAGER)
        && label(INSTANCE).is_some_and(|instance| *instance == database.name);
    if left_behind {
        Claim::Ours
    } else {
        Claim::Foreign("nobody that this operator knows".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{database, meta};

    #[test]
    fn what_this_resource_owns_is_ours() {
        let owned = meta(
            r#"{"ownerReferences": [{"apiVersion": "dougdb.io/v1alpha1",
            "kind": "DougCluster", "name": "orders", "uid": "uid-1", "controller": true}]}"#,
        );
        assert_eq!(claim(&database(), &owned), Claim::Ours);
    }

    #[test]
    fn what_its_namesake_left_without_an_owner_is_taken_back() {
        let orphan = meta(
            r#"{"labels": {"app.kubernetes.io/managed-by": "dougdb-operator",
            "app.kubernetes.io/instance": "orders"}}"#,
        );
        assert_eq!(claim(&database(), &orphan), Claim::Ours);
    }

    #[test]
    fn what_its_deleted_namesake_still_owns_is_waited_for() {
        let leaving = meta(
            r#"{"ownerReferences": [{"apiVersion": "dougdb.io/v1alpha1",
            "kind": "DougCluster", "name": "orders", "uid": "uid-0", "controller": true}]}"#,
        );
        assert_eq!(claim(&database(), &leaving), Claim::Leaving);
    }

    #[test]
    fn what_this_resource_owns_and_is_made_again_is_no_remains_of_another() {
        let ending = |uid: &str| {
            claim(
                &database(),
                &meta(&format!(
                    r#"{{"deletionTimestamp": "2026-01-01T12:00:00Z", "ownerReferences": [{{
                    "apiVersion": "dougdb.io/v1alpha1", "kind": "DougCluster", "name": "orders",
                    "uid": "{uid}", "controller": true}}]}}"#
                )),
            )
        };
        assert_eq!(ending("uid-1"), Claim::Ending);
        assert_eq!(ending("uid-0"), Claim::Leaving);
    }

    #[test]
    fn whatever_another_owns_or_nobody_made_for_us_is_left_alone() {
        let other = meta(
            r#"{"labels": {"app.kubernetes.io/managed-by": "dougdb-operator",
            "app.kubernetes.io/instance": "orders"}, "ownerReferences": [{"apiVersion": "v1",
            "kind": "Shop", "name": "big", "uid": "uid-1x", "controller": true}]}"#,
        );
        assert_eq!(claim(&database(), &other), Claim::Foreign("Shop big".into()));
        let by_hand = meta(r#"{"labels": {"app.kubernetes.io/instance": "orders"}}"#);
        assert!(matches!(claim(&database(), &by_hand), Claim::Foreign(_)));
    }
}
