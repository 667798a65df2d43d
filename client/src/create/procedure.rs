//! The calls of a creation, in order.

use super::plan::{NodeIdentity, plan};
use super::spec::{NodeSpec, Spec};
use crate::admin::Admin;
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
pub async fn create(spec: &Spec, fresh: DatabaseId, timeout: Duration) -> Result<Created, Fault> {
    spec.validate()?;
    let identities = identify_all(spec, timeout).await?;
    let database = database_of(spec, &identities)?.unwrap_or(fresh);
    let map = plan(spec, &identities, database)?;
    let admins = admins(spec, timeout)?;
    let calls = map.nodes.iter().zip(&admins).map(|(node, admin)| {
        let map = &map;
        async move {
            admin.create(node.id, map).await.map_err(|fault| Fault {
                message: format!("{} refuses to join database {database}: {fault}", node.name),
                ..fault
            })
        }
    });
    try_join_all(calls).await?;
    let joined = identities.iter().flatten().filter(|node| node.database.is_none()).count();
    Ok(Created { map, joined })
}

fn declared(spec: &Spec) -> impl Iterator<Item = &NodeSpec> {
    spec.clusters.iter().flat_map(|cluster| &cluster.nodes)
}

fn admins(spec: &Spec, timeout: Duration) -> Result<Vec<Admin>, Fault> {
    let admin = |node: &NodeSpec| {
        let host = &node.address;
        let port = node.ports().admin;
        let bracketed = host.contains(':') && !host.starts_with('[');
        let address = if bracketed { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        Admin::with_timeout(&address, timeout)
    };
    declared(spec).map(admin).collect()
}

/// What every declared node is, cluster by cluster. One that does not answer
/// may hold data, so then there is no answer at all.
async fn identify_all(spec: &Spec, timeout: Duration) -> Result<Vec<Vec<NodeIdentity>>, Fault> {
    let admins = admins(spec, timeout)?;
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
pub(super) fn database_of(
    spec: &Spec,
    identities: &[Vec<NodeIdentity>],
) -> Result<Option<DatabaseId>, Fault> {
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
