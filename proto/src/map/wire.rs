//! The map's form on the wire, which is also how nodes store it.

use super::entry::Entry;
use super::{
    Cluster, FORMAT_VERSION, Goal, History, Kept, Keyspace, KeyspaceId, Member, Node, Partition,
    PartitionMap, Ports, Recovery, RemovedKeyspaces,
};
use crate::error::Fault;
use crate::ids::{DatabaseId, NodeId};
use crate::routing::Routing;
use crate::v1;
use bytes::Bytes;
use prost::Message;

impl PartitionMap {
    /// The wire form.
    pub fn to_wire(&self) -> v1::PartitionMap {
        v1::PartitionMap {
            format_version: FORMAT_VERSION,
            database: self.database.to_string(),
            epoch: self.epoch,
            keyspaces: self.contents(&self.keyspaces),
            clusters: self.contents(&self.clusters),
            nodes: self.contents(&self.nodes),
            partitions: self.contents(&self.partitions),
            others: self.others().collect(),
            removed_keyspaces: self.removed_keyspaces.to_wire(),
        }
    }

    fn contents<T: Entry>(&self, entries: &[T]) -> Vec<Bytes> {
        entries.iter().map(|entry| self.content_of(entry)).collect()
    }

    /// Reads and validates the wire form.
    ///
    /// # Errors
    /// A newer format, or what [`PartitionMap::validate`] finds.
    pub fn from_wire(wire: &v1::PartitionMap) -> Result<Self, Fault> {
        let map = Self::unchecked(wire)?;
        map.validate()?;
        Ok(map)
    }

    /// Reads the wire form of some entries of a map.
    pub(super) fn unchecked(wire: &v1::PartitionMap) -> Result<Self, Fault> {
        super::document::check_version(wire.format_version)?;
        let mut kept = Kept::default();
        wire.others.iter().cloned().try_for_each(|other| kept.take_other(other))?;
        Ok(Self {
            database: parse(&wire.database)?,
            epoch: wire.epoch,
            keyspaces: read(&wire.keyspaces, &mut kept)?,
            clusters: read(&wire.clusters, &mut kept)?,
            nodes: read(&wire.nodes, &mut kept)?,
            partitions: read(&wire.partitions, &mut kept)?,
            removed_keyspaces: RemovedKeyspaces::from_wire(&wire.removed_keyspaces)?,
            kept,
        })
    }
}

fn read<T: Entry>(contents: &[Bytes], kept: &mut Kept) -> Result<Vec<T>, Fault> {
    let read = |content: &Bytes| {
        let entry = T::decode(content)?;
        kept.note(&entry, content);
        Ok(entry)
    };
    contents.iter().map(read).collect()
}

impl Keyspace {
    /// The wire form.
    pub fn to_wire(&self) -> v1::Keyspace {
        v1::Keyspace {
            id: self.id.number(),
            name: self.name.clone(),
            routing: Some(self.routing.to_wire()),
            generation: self.generation,
            deleted: self.deleted,
            history: Some(self.history.to_wire()),
        }
    }

    /// Reads the wire form.
    ///
    /// # Errors
    /// A routing that is none.
    pub fn from_wire(wire: &v1::Keyspace) -> Result<Self, Fault> {
        Ok(Self {
            id: KeyspaceId::new(wire.id),
            name: wire.name.clone(),
            routing: Routing::from_wire(wire.routing.as_ref())?,
            generation: wire.generation,
            deleted: wire.deleted,
            history: wire.history.as_ref().map(History::from_wire).unwrap_or_default(),
        })
    }
}

impl Cluster {
    /// The wire form.
    pub fn to_wire(&self) -> v1::MapCluster {
        v1::MapCluster { name: self.name.clone(), nodes: self.nodes, version: self.version }
    }

    /// Reads the wire form.
    pub fn from_wire(wire: &v1::MapCluster) -> Self {
        Self { name: wire.name.clone(), nodes: wire.nodes, version: wire.version }
    }
}

impl Partition {
    /// The descriptor as it stands in the log beside a configuration.
    pub fn encode(&self) -> Bytes {
        self.to_wire().encode_to_vec().into()
    }

    /// Reads what [`Partition::encode`] made.
    ///
    /// # Errors
    /// Bytes that are no descriptor.
    pub fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let wire = v1::PartitionDescriptor::decode(bytes)
            .map_err(|error| Fault::invalid(format!("the descriptor is unreadable: {error}")))?;
        Self::from_wire(&wire)
    }

    /// What a replica begins with that joins a group: the interval, and nothing
    /// yet of its members. Those come with the log, or with a snapshot.
    pub fn before_joining(&self) -> Self {
        Self {
            generation: 0,
            voters: Vec::new(),
            learners: Vec::new(),
            outgoing: Vec::new(),
            next_replica: 0,
            goal: None,
            ..self.clone()
        }
    }

    /// The wire form.
    pub fn to_wire(&self) -> v1::PartitionDescriptor {
        v1::PartitionDescriptor {
            id: self.id,
            keyspace: self.keyspace.number(),
            start: self.start.clone(),
            end: self.end.clone(),
            generation: self.generation,
            cluster: self.cluster.clone(),
            voters: self.voters.iter().map(|m| m.to_wire()).collect(),
            learners: self.learners.iter().map(|m| m.to_wire()).collect(),
            parents: self.parents.clone(),
            outgoing: self.outgoing.iter().map(|m| m.to_wire()).collect(),
            next_replica: self.next_replica,
            goal: self.goal.as_ref().map(Goal::to_wire),
            recoveries: self.recoveries.iter().map(Recovery::to_wire).collect(),
        }
    }

    /// Reads the wire form.
    ///
    /// # Errors
    /// A node id that is none.
    pub fn from_wire(wire: &v1::PartitionDescriptor) -> Result<Self, Fault> {
        let members = |members: &[v1::Member]| {
            members.iter().map(Member::from_wire).collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            id: wire.id,
            keyspace: KeyspaceId::new(wire.keyspace),
            start: wire.start.clone(),
            end: wire.end.clone(),
            generation: wire.generation,
            cluster: wire.cluster.clone(),
            voters: members(&wire.voters)?,
            learners: members(&wire.learners)?,
            parents: wire.parents.clone(),
            outgoing: members(&wire.outgoing)?,
            next_replica: wire.next_replica,
            goal: wire.goal.as_ref().map(Goal::from_wire).transpose()?,
            recoveries: wire
                .recoveries
                .iter()
                .map(Recovery::from_wire)
                .collect::<Result<_, _>>()?,
        })
    }
}

impl Goal {
    /// The wire form.
    pub fn to_wire(&self) -> v1::MembershipGoal {
        v1::MembershipGoal {
            nodes: self.nodes.iter().map(NodeId::to_string).collect(),
            cluster: self.cluster.clone(),
            discarded: self.discarded.clone(),
        }
    }

    /// Reads the wire form.
    ///
    /// # Errors
    /// A node id that is none.
    pub fn from_wire(wire: &v1::MembershipGoal) -> Result<Self, Fault> {
        Ok(Self {
            nodes: wire.nodes.iter().map(|node| parse_node(node)).collect::<Result<_, _>>()?,
            cluster: wire.cluster.clone(),
            discarded: wire.discarded.clone(),
        })
    }
}

impl Member {
    fn to_wire(self) -> v1::Member {
        v1::Member { node: self.node.to_string(), replica: self.replica }
    }

    fn from_wire(wire: &v1::Member) -> Result<Self, Fault> {
        Ok(Self { node: parse_node(&wire.node)?, replica: wire.replica })
    }
}

impl Node {
    /// The wire form.
    pub fn to_wire(&self) -> v1::MapNode {
        v1::MapNode {
            id: self.id.to_string(),
            cluster: self.cluster.clone(),
            address: self.address.clone(),
            name: self.name.clone(),
            version: self.version,
            ports: Some(v1::Ports {
                doug: self.ports.doug.into(),
                raft: self.ports.raft.into(),
                admin: self.ports.admin.into(),
                http: self.ports.http.into(),
            }),
        }
    }

    /// Reads the wire form.
    ///
    /// # Errors
    /// A node id that is none, an empty address, or a port beyond 65,535.
    pub fn from_wire(wire: &v1::MapNode) -> Result<Self, Fault> {
        if wire.address.is_empty() {
            return Err(Fault::invalid(format!("node {} has no address", wire.id)));
        }
        let ports = wire.ports.unwrap_or_default();
        let usual = Ports::default();
        Ok(Self {
            id: parse_node(&wire.id)?,
            name: wire.name.clone(),
            cluster: wire.cluster.clone(),
            address: wire.address.clone(),
            version: wire.version,
            ports: Ports {
                doug: port(ports.doug, usual.doug)?,
                raft: port(ports.raft, usual.raft)?,
                admin: port(ports.admin, usual.admin)?,
                http: port(ports.http, usual.http)?,
            },
        })
    }
}

fn port(wire: u32, usual: u16) -> Result<u16, Fault> {
    if wire == 0 {
        return Ok(usual);
    }
    u16::try_from(wire).map_err(|_| Fault::invalid(format!("{wire} is not a port: 1 to 65535")))
}

fn parse_node(text: &str) -> Result<NodeId, Fault> {
    text.parse().map_err(|e| Fault::invalid(format!("{e}")))
}

fn parse(text: &str) -> Result<DatabaseId, Fault> {
    text.parse().map_err(|e| Fault::invalid(format!("{e}")))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{sample, sample_with_catalog};
    use super::*;

    #[test]
    fn a_map_survives_the_wire() {
        let map = sample_with_catalog(8);
        assert_eq!(PartitionMap::from_wire(&map.to_wire()).unwrap(), map);
    }

    #[test]
    fn a_map_of_a_newer_format_is_refused() {
        let mut wire = sample(1).to_wire();
        wire.format_version = FORMAT_VERSION + 1;
        let error = PartitionMap::from_wire(&wire).unwrap_err();
        assert!(error.to_string().contains("upgrade"), "{error}");
    }
}
