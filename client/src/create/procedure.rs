//! The calls of a creation, in order.

use super::plan::{NodeIdentity, plan};
use super::spec::{NodeSpec, Spec};
use crate::admin::Admin;
use doug_proto::access::AccessToken;
use doug_proto::address::host_port;
use doug_proto::error::Fault;
use doug_proto::ids::DatabaseId;
use doug_proto::map::PartitionMap;
use futures::future::{join_all, try_join_all};
use std::time::Duration;

/// How a creation ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Created {
    /// The first map, which every node has stored.
    pub map: PartitionMap,
    /// Nodes that were empty before, and are members now. 0: all was there.
    pub joined: usize,
}

/// Makes the declared nodes a database, or finishes a creation that was
/// interrupted. Idempotent.
///
/// `fresh` becomes the id of the database if every node is empty; nodes that
/// are already members give theirs, and then `fresh` is not used.
///
/// # Errors
/// Names the node and the remedy: a node that does not answer (nothing is
/// created then), nodes of two databases, a node that refuses because its data
/// belongs to another creation.
pub async fn create(
    spec: &Spec,
    fresh: DatabaseId,
    timeout: Duration,
    access: &AccessToken,
) -> Result<Created, Fault> {
    spec.validate()?;
    let identities = identify_all(spec, timeout, access).await?;
    let database = database_of(spec, &identities)?.unwrap_or(fresh);
    let map = plan(spec, &identities, database)?;
    let admins = admins(spec, timeout, access)?;
    let members = identities.iter().flatten().map(|identity| identity.database.is_some());
    let nodes: Vec<_> = map.nodes.iter().zip(&admins).zip(members).collect();
    // Members first: if one of them was created otherwise, no empty node may
    // join what the others would not know.
    for phase in [true, false] {
        let calls =
            nodes.iter().filter(|(_, member)| *member == phase).map(|((node, admin), _)| {
                let map = &map;
                async move {
                    admin.create(node.id, map).await.map_err(|fault| Fault {
                        message: format!(
                            "{} refuses to join database {database}: {fault}",
                            node.name
                        ),
                        ..fault
                    })
                }
            });
        try_join_all(calls).await?;
    }
    let joined = identities.iter().flatten().filter(|node| node.database.is_none()).count();
    Ok(Created { map, joined })
}

fn declared(spec: &Spec) -> impl Iterator<Item = &NodeSpec> {
    spec.clusters.iter().flat_map(|cluster| &cluster.nodes)
}

fn admins(spec: &Spec, timeout: Duration, access: &AccessToken) -> Result<Vec<Admin>, Fault> {
    let admin = |node: &NodeSpec| {
        let address = host_port(&node.address, node.ports().admin);
        Ok(Admin::with_timeout(&address, timeout)?.with_token(access.clone()))
    };
    declared(spec).map(admin).collect()
}

/// What every declared node is, cluster by cluster. One that does not answer
/// may hold data, so then there is no answer at all.
async fn identify_all(
    spec: &Spec,
    timeout: Duration,
    access: &AccessToken,
) -> Result<Vec<Vec<NodeIdentity>>, Fault> {
    let admins = admins(spec, timeout, access)?;
    let answers = join_all(admins.iter().map(Admin::identify)).await;
    let silent: Vec<_> =
        answers.iter().filter_map(|a| a.as_ref().err().map(|f| f.message.clone())).collect();
    if !silent.is_empty() {
        return Err(Fault::unavailable(format!(
            "nothing was created, since not every node answered, and one that is silent may hold \
             data: {}. Start the nodes, check their admin addresses, and try again",
            silent.join("; ")
        )));
    }
    let mut answers = answers.into_iter().flatten();
    let mut identities = Vec::new();
    for cluster in &spec.clusters {
        let answers = answers.by_ref().take(cluster.nodes.len());
        identities.push(answers.map(identity).collect::<Result<Vec<_>, _>>()?);
    }
    Ok(identities)
}

fn identity(answer: doug_proto::v1::IdentifyResponse) -> Result<NodeIdentity, Fault> {
    let invalid = |error: doug_proto::ids::InvalidId| Fault::invalid(error.to_string());
    let database = match answer.database.as_str() {
        "" => None,
        text => Some(text.parse().map_err(invalid)?),
    };
    Ok(NodeIdentity { node: answer.node.parse().map_err(invalid)?, database })
}

/// The database that nodes are already members of, if any: it is adopted.
fn database_of(spec: &Spec, identities: &[Vec<NodeIdentity>]) -> Result<Option<DatabaseId>, Fault> {
    let mut found: Option<(DatabaseId, &str)> = None;
    for (node, identity) in declared(spec).zip(identities.iter().flatten()) {
        match (found, identity.database) {
            (Some((known, first)), Some(other)) if known != other => {
                return Err(Fault::invalid(format!(
                    "node at {first} belongs to database {known}, and node at {} to {other}: \
                     declare only nodes that are empty or of one database, or give one of them \
                     an empty data directory",
                    node.address
                )));
            }
            (None, Some(database)) => found = Some((database, &node.address)),
            _ => {}
        }
    }
    Ok(found.map(|(database, _)| database))
}

#[cfg(test)]
mod tests {
    use super::*;
    use doug_proto::ids::NodeId;

    fn found(databases: [u64; 3]) -> Result<Option<DatabaseId>, Fault> {
        let spec: Spec = serde_json::from_str(
            r#"{
                "partitioning": {"hash": {"partitions": 1}},
                "clusters": [{"name": "a", "nodes": [
                    {"address": "a0"}, {"address": "a1"}, {"address": "a2"}
                ]}]
            }"#,
        )
        .unwrap();
        let identity = |database: u64| NodeIdentity {
            node: NodeId::from_bits(1),
            database: (database != 0).then(|| DatabaseId::from_bits(database)),
        };
        database_of(&spec, &[databases.map(identity).to_vec()])
    }

    #[test]
    fn a_database_that_is_found_is_adopted() {
        assert_eq!(found([0, 0, 0]).unwrap(), None);
        assert_eq!(found([0, 7, 0]).unwrap(), Some(DatabaseId::from_bits(7)));
        assert_eq!(found([7, 7, 7]).unwrap(), Some(DatabaseId::from_bits(7)));
    }

    #[test]
    fn nodes_of_two_databases_are_refused_with_both_named() {
        let message = found([0, 7, 8]).unwrap_err().message;
        let named = ["a1", "a2", "000000000007", "000000000008"];
        assert!(named.iter().all(|name| message.contains(name)), "{message}");
    }
}
