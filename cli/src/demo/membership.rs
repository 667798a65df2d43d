//! The nodes become one database, or turn out to be the one that they were.

use super::database;
use super::state::{Creation, LOOPBACK, Node, State};
use anyhow::{Context, anyhow, bail};
use doug_client::admin::Admin;
use doug_client::create::{self, ClusterSpec, HashSpec, NodeSpec, Partitioning, PortsSpec, Spec};
use doug_proto::access::AccessToken;
use doug_proto::error::Fault;
use doug_proto::ids::{DatabaseId, NodeId};
use doug_proto::map::{self, PartitionMap};
use doug_proto::v1;
use futures::future::try_join_all;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// A node must answer within this long: replaying a full log takes seconds.
const ANSWER: Duration = Duration::from_secs(60);
/// How long one call to a node may take.
const CALL: Duration = Duration::from_secs(10);

/// What each node says it is, by name.
pub type Identities = BTreeMap<String, v1::IdentifyResponse>;

/// Waits until every node says what it is.
pub async fn identify_all(nodes: &[Node]) -> anyhow::Result<Identities> {
    let deadline = Instant::now() + ANSWER;
    let each = nodes.iter().map(|node| async move {
        let admin = Admin::new(&node.admin_address())?;
        let identity = database::until(deadline, || admin.identify()).await;
        let identity = identity.with_context(|| {
            format!("{} does not say what it is: see {}", node.name, node.log.display())
        });
        anyhow::Ok((node.name.clone(), identity?))
    });
    Ok(try_join_all(each).await?.into_iter().collect())
}

/// Decides which database these nodes are to be, or checks that they are the
/// nodes of which it was decided before.
///
/// # Errors
/// A volume that is not the one of then: a node that lost its data must not
/// come back under its old place, for it has forgotten its votes.
pub fn intend(state: &mut State, identities: &Identities) -> anyhow::Result<()> {
    let nodes: BTreeMap<_, _> =
        identities.iter().map(|(name, identity)| (name.clone(), identity.node.clone())).collect();
    let creation = match &state.creation {
        Some(creation) => creation.clone(),
        None => {
            let bits = getrandom::u64()
                .map_err(|error| anyhow!("the system gave no random bits: {error}"))?;
            Creation { database: DatabaseId::from_bits(bits).to_string(), nodes: nodes.clone() }
        }
    };
    let database = &creation.database;
    for node in &state.nodes {
        let identity = &identities[&node.name];
        let created = creation.nodes.get(&node.name);
        let same_volume = created.is_none() || created == nodes.get(&node.name);
        let same_database = identity.database.is_empty() || identity.database == *database;
        if !same_volume || !same_database {
            bail!(
                "{} is not the volume that database {database} was created with: put the right \
                 one there, or start with another --data",
                node.data.display()
            );
        }
    }
    state.creation = Some(creation);
    Ok(())
}

/// Makes every node a member that is not one yet, and tells all the addresses
/// of this start.
pub async fn establish(state: &State, identities: &Identities) -> anyhow::Result<()> {
    let creation = state.creation.as_ref().context("no creation was intended")?;
    let (members, empty): (Vec<&Node>, Vec<&Node>) =
        state.nodes.iter().partition(|node| !identities[&node.name].database.is_empty());
    // One whose volume was lost on purpose stays empty until it replaces its predecessor.
    let created = |node: &&&Node| creation.nodes.contains_key(&node.name);
    let empty: Vec<&Node> = empty.iter().filter(created).copied().collect();
    let Some(member) = members.first() else {
        let database = creation.database.parse()?;
        create::create(&spec(state), database, CALL, &AccessToken::default()).await?;
        return Ok(());
    };
    // An interrupted creation ends with the very map that it began with, which
    // has the addresses of then.
    let first = known_map(member).await?;
    try_join_all(empty.iter().map(|node| join(node, &identities[&node.name], &first))).await?;
    let joined: Vec<&Node> = members.into_iter().chain(empty).collect();
    tell_addresses(&joined, identities).await
}

async fn join(
    node: &Node,
    identity: &v1::IdentifyResponse,
    map: &PartitionMap,
) -> anyhow::Result<()> {
    let admin = Admin::with_timeout(&node.admin_address(), CALL)?;
    admin.create(identity.node.parse()?, map).await?;
    Ok(())
}

/// Nodes keep the addresses that they were told last; where ports have changed
/// since, they could not find each other.
async fn tell_addresses(members: &[&Node], identities: &Identities) -> anyhow::Result<()> {
    let known = try_join_all(members.iter().map(|node| known_map(node))).await?;
    let nodes = members.iter().map(|node| address(node, &identities[&node.name]));
    let nodes = nodes.collect::<anyhow::Result<Vec<map::Node>>>()?;
    if known.iter().all(|map| nodes.iter().all(|node| lists(map, node))) {
        return Ok(());
    }
    let epoch = 1 + known.iter().map(|map| map.epoch).max().unwrap_or(0);
    let tell = members.iter().zip(&nodes).map(|(node, to)| {
        let nodes = &nodes;
        async move {
            let admin = Admin::with_timeout(&node.admin_address(), CALL)?;
            admin.update_addresses(to.id, epoch, nodes, &[]).await
        }
    });
    try_join_all(tell).await.context("telling the nodes their new addresses")?;
    Ok(())
}

fn lists(map: &PartitionMap, node: &map::Node) -> bool {
    let place = |node: &map::Node| (node.address.clone(), node.ports);
    map.node(node.id).is_some_and(|known| place(known) == place(node))
}

async fn known_map(node: &Node) -> Result<PartitionMap, Fault> {
    let address = node.doug_address();
    database::until(Instant::now() + CALL, || database::map(&address)).await
}

fn address(node: &Node, identity: &v1::IdentifyResponse) -> anyhow::Result<map::Node> {
    let id: NodeId = identity.node.parse()?;
    let ports = node.ports;
    Ok(map::Node {
        id,
        name: node.name.clone(),
        cluster: node.cluster.clone(),
        address: LOOPBACK.into(),
        ports: map::Ports {
            doug: ports.doug,
            raft: ports.raft,
            admin: ports.admin,
            http: ports.http,
        },
        // The node that takes the address up says as of which epoch.
        version: 0,
    })
}

fn spec(state: &State) -> Spec {
    let declared = |node: &Node| NodeSpec {
        name: Some(node.name.clone()),
        address: LOOPBACK.into(),
        ports: Some(PortsSpec {
            doug: node.ports.doug,
            raft: node.ports.raft,
            admin: node.ports.admin,
            http: node.ports.http,
        }),
    };
    let clusters = state.nodes.chunk_by(|one, next| one.cluster == next.cluster);
    let clusters = clusters.map(|nodes| ClusterSpec {
        name: nodes[0].cluster.clone(),
        nodes: nodes.iter().map(declared).collect(),
    });
    let hash = HashSpec { partitions: state.shape.partitions.into(), prefix_delimiter: None };
    let partitioning = Partitioning { hash: Some(hash), range: None };
    Spec { partitioning, clusters: clusters.collect(), history: None }
}
