//! Making an empty node a member of a database.

use crate::apply::{Machine, ReplicaData};
use crate::engine::Engine;
use crate::engine::fatal::storage_fault;
use crate::engine::random::random_bits;
use crate::host::Event;
use bytes::Bytes;
use doug_proto::error::Fault;
use doug_proto::ids::DatabaseId;
use doug_proto::map::PartitionMap;
use doug_proto::v1;
use doug_storage::manifest::Identity;
use doug_storage::store::NewReplica;
use doug_storage::{Applied, ReplicaKey};
use prost::Message;
use std::sync::Arc;
use tonic::Code;

/// Carries a creation out, once; the same creation again changes nothing.
/// Returns how many replicas the node holds.
///
/// # Errors
/// A creation that differs from the one this node has seen, or one that does
/// not list this node.
pub fn create(engine: &Engine, wire: &v1::PartitionMap) -> Result<u32, Fault> {
    let map = PartitionMap::from_wire(wire)?;
    map.validate_whole()?;
    super::admin::check_clusters(&map.clusters)?;
    let node = engine.config.node;
    if map.node(node).is_none() {
        return Err(Fault::invalid(format!("the creation does not list this node, {node}")));
    }
    if let Some(earlier) = engine.store.creation() {
        return again(engine, &earlier, &map);
    }
    let replicas = replicas(engine, &map)?;
    let new: Vec<NewReplica> = replicas.iter().map(|(new, _)| new.clone()).collect();
    let identity = Identity { node: node.bits(), database: Some(map.database.bits()) };
    let document = Bytes::from(map.to_wire().encode_to_vec());
    let trees = engine
        .store
        .join_database(identity, document, map.to_stored(), &new)
        .map_err(storage_fault)?;
    for ((new, machine), tree) in replicas.into_iter().zip(trees) {
        let descriptor = Box::new(machine.descriptor().clone());
        let partition = ReplicaData::new(new.key, tree, machine, new.applied);
        // Data first: the host's first effects may need it at once.
        engine.partitions.write().insert(new.key.partition, Arc::new(partition));
        let replica = new.key;
        engine.host(replica.partition).send(Event::Create {
            replica,
            descriptor,
            seed: random_bits(),
        });
    }
    let count = new.len() as u32;
    tracing::info!(database = %map.database, replicas = count, "this node joined a database");
    engine.maps.begin(map);
    Ok(count)
}

/// Makes an empty node a member of a database that exists, without replicas;
/// on a member it merges the map.
///
/// # Errors
/// A map that does not list this node, or a node of another database.
pub fn join(engine: &Engine, map: PartitionMap) -> Result<(), Fault> {
    let node = engine.config.node;
    let Some(entry) = map.node(node) else {
        return Err(Fault::invalid(format!(
            "the map does not list this node, {node}: add it first, with its cluster and address"
        )));
    };
    if entry.is_removed() {
        return Err(Fault::invalid(format!(
            "this node, {node}, was removed from the database for good: give it an empty volume, \
             and so another id"
        )));
    }
    if let Some(known) = engine.maps.get() {
        if known.database != map.database {
            return Err(another_database(known.database));
        }
        return engine.maps.merge(&map).map_err(storage_fault);
    }
    let identity = Identity { node: node.bits(), database: Some(map.database.bits()) };
    engine.store.join(identity, map.to_stored()).map_err(storage_fault)?;
    tracing::info!(database = %map.database, "this node joined a database, without replicas so \
        far");
    engine.maps.begin(map);
    Ok(())
}

/// The refusal to be of two databases.
pub fn another_database(database: DatabaseId) -> Fault {
    Fault::new(
        Code::FailedPrecondition,
        format!(
            "this node belongs to database {database} already: give each database its own nodes, \
             or empty volumes"
        ),
    )
    .not_executed()
}

fn replicas(engine: &Engine, map: &PartitionMap) -> Result<Vec<(NewReplica, Machine)>, Fault> {
    let own = map.partitions.iter().filter_map(|partition| {
        let member = partition.voter_on(engine.config.node)?;
        Some((partition, member))
    });
    own.map(|(partition, member)| {
        if partition.voters.iter().any(|voter| voter.replica == 0) {
            return Err(Fault::invalid(format!(
                "the creation gives partition {} a voter without a replica id",
                partition.id
            )));
        }
        let routing = map.keyspace_of(partition).routing.clone();
        let machine = Machine::new(map.database, routing, partition.clone());
        let new = NewReplica {
            key: ReplicaKey { partition: partition.id, replica: member.replica },
            applied: Applied::default(),
            state: machine.encode(),
        };
        Ok((new, machine))
    })
    .collect()
}

/// A database is created once. Addresses may differ: nodes move.
fn again(engine: &Engine, earlier: &[u8], map: &PartitionMap) -> Result<u32, Fault> {
    let earlier = v1::PartitionMap::decode(earlier).map_err(|error| {
        Fault::new(Code::DataLoss, format!("the stored creation is unreadable: {error}"))
    })?;
    let earlier = PartitionMap::from_wire(&earlier)?;
    let same = earlier.database == map.database
        && earlier.keyspaces == map.keyspaces
        && earlier.partitions == map.partitions;
    if !same {
        return Err(Fault::new(
            Code::FailedPrecondition,
            format!(
                "this node already belongs to database {}, whose partitions differ from those \
                 given: \
                 give each database its own nodes, or empty volumes",
                earlier.database
            ),
        )
        .not_executed());
    }
    Ok(engine.partitions.read().len() as u32)
}
