//! The map as a document: what a map file and the resource's status hold.

use super::{Cluster, History, Keyspace, KeyspaceId, Member, Node, Partition, PartitionMap, Ports};
use crate::error::Fault;
use crate::quote;
use crate::routing::Routing;
use crate::v1;
use base64::Engine;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The format of maps this program writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;

pub(super) fn check_version(version: u32) -> Result<(), Fault> {
    if version == FORMAT_VERSION {
        return Ok(());
    }
    Err(Fault::invalid(format!(
        "the partition map has format version {version}, and this program knows version \
         {FORMAT_VERSION}: upgrade the program, or give it a map of its own version"
    )))
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    format_version: u32,
    database_id: String,
    epoch: u64,
    keyspaces: Vec<DocumentKeyspace>,
    clusters: Vec<DocumentCluster>,
    nodes: Vec<DocumentNode>,
    partitions: Vec<DocumentPartition>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DocumentKeyspace {
    id: u64,
    name: String,
    routing: DocumentRouting,
    generation: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    history: Option<DocumentHistory>,
}

/// Left out where it is the default.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DocumentHistory {
    retain_milliseconds: u64,
    max_bytes: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DocumentCluster {
    name: String,
    /// How many it is to have.
    nodes: u32,
    /// Absent: as new as the document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum DocumentRouting {
    Hash(DocumentHash),
    Range {},
}

/// A delimiter that is not UTF-8 stands in base64.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DocumentHash {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prefix_delimiter: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prefix_delimiter_base64: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DocumentNode {
    id: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    name: String,
    cluster: String,
    address: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ports: Option<DocumentPorts>,
    /// Absent: as new as the document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DocumentPorts {
    doug: u16,
    raft: u16,
    admin: u16,
    http: u16,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DocumentPartition {
    id: u64,
    /// Absent: `default`.
    #[serde(default = "default_keyspace", skip_serializing_if = "is_default_keyspace")]
    keyspace: u64,
    start: String,
    generation: u64,
    cluster: String,
    voters: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    learners: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    parents: Vec<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    outgoing: Vec<String>,
}

fn default_keyspace() -> u64 {
    KeyspaceId::DEFAULT.number()
}

fn is_default_keyspace(id: &u64) -> bool {
    *id == default_keyspace()
}

impl PartitionMap {
    /// The JSON document of a map file: without departed clusters, removed keyspaces and what
    /// newer programs have put into the map. Whoever reads it hears of these from nodes.
    pub fn to_json(&self) -> String {
        let document = Document {
            format_version: FORMAT_VERSION,
            database_id: self.database.to_string(),
            epoch: self.epoch,
            keyspaces: self.keyspaces.iter().map(keyspace_document).collect(),
            clusters: self.declared().map(|c| cluster_document(c, self.epoch)).collect(),
            nodes: self.listed().map(|n| node_document(n, self.epoch)).collect(),
            partitions: self.partitions.iter().map(partition_document).collect(),
        };
        serde_json::to_string_pretty(&document)
            .expect("a document of strings and numbers is always JSON")
    }

    /// Without the entries of removed nodes: whoever reads a document merges it
    /// with nothing that could bring them back.
    fn listed(&self) -> impl Iterator<Item = &Node> {
        self.nodes
            .iter()
            .filter(|node| !node.is_removed() || self.partitions_of(node.id).next().is_some())
    }

    /// Reads and validates a map file. Replica ids and goals are not part of it.
    ///
    /// # Errors
    /// What is wrong and, for JSON, at which line.
    pub fn from_json(text: &str) -> Result<Self, Fault> {
        let document: Document = serde_json::from_str(text).map_err(|e| {
            Fault::invalid(format!("the partition map is not what it must be: {e}"))
        })?;
        check_version(document.format_version)?;
        let mut partitions: Vec<Partition> =
            document.partitions.into_iter().map(partition).collect::<Result<_, _>>()?;
        for i in 1..partitions.len() {
            if partitions[i - 1].keyspace == partitions[i].keyspace {
                partitions[i - 1].end = partitions[i].start.clone();
            }
        }
        let epoch = document.epoch;
        let map = Self {
            epoch,
            keyspaces: document.keyspaces.into_iter().map(keyspace).collect::<Result<_, _>>()?,
            clusters: document.clusters.into_iter().map(|c| cluster(c, epoch)).collect(),
            nodes: document.nodes.into_iter().map(|n| node(n, epoch)).collect::<Result<_, _>>()?,
            partitions,
            ..Self::empty(document.database_id.parse().map_err(fault)?)
        };
        map.validate()?;
        Ok(map)
    }
}

fn fault(error: impl std::fmt::Display) -> Fault {
    Fault::invalid(error.to_string())
}

fn keyspace_document(keyspace: &Keyspace) -> DocumentKeyspace {
    DocumentKeyspace {
        id: keyspace.id.number(),
        name: keyspace.name.clone(),
        routing: routing_document(&keyspace.routing),
        generation: keyspace.generation,
        deleted: keyspace.deleted,
        history: history_document(keyspace.history),
    }
}

fn history_document(history: History) -> Option<DocumentHistory> {
    let v1::History { retain_milliseconds, max_bytes } = history.to_wire();
    let document = DocumentHistory { retain_milliseconds, max_bytes };
    (history != History::default()).then_some(document)
}

fn history(document: DocumentHistory) -> History {
    let DocumentHistory { retain_milliseconds, max_bytes } = document;
    History::from_wire(&v1::History { retain_milliseconds, max_bytes })
}

fn keyspace(document: DocumentKeyspace) -> Result<Keyspace, Fault> {
    Ok(Keyspace {
        id: KeyspaceId::new(document.id),
        name: document.name,
        routing: routing(document.routing)?,
        generation: document.generation,
        deleted: document.deleted,
        history: document.history.map(history).unwrap_or_default(),
    })
}

fn cluster_document(cluster: &Cluster, epoch: u64) -> DocumentCluster {
    DocumentCluster {
        name: cluster.name.clone(),
        nodes: cluster.nodes,
        version: (cluster.version != epoch).then_some(cluster.version),
    }
}

fn cluster(document: DocumentCluster, epoch: u64) -> Cluster {
    Cluster {
        name: document.name,
        nodes: document.nodes,
        version: document.version.unwrap_or(epoch),
    }
}

fn routing_document(routing: &Routing) -> DocumentRouting {
    let Routing::Hash { prefix_delimiter } = routing else { return DocumentRouting::Range {} };
    let mut hash = DocumentHash { prefix_delimiter: None, prefix_delimiter_base64: None };
    match std::str::from_utf8(prefix_delimiter) {
        Ok("") => {}
        Ok(text) => hash.prefix_delimiter = Some(text.to_owned()),
        Err(_) => {
            let encoded = base64::engine::general_purpose::STANDARD.encode(prefix_delimiter);
            hash.prefix_delimiter_base64 = Some(encoded);
        }
    }
    DocumentRouting::Hash(hash)
}

fn routing(document: DocumentRouting) -> Result<Routing, Fault> {
    let DocumentRouting::Hash(hash) = document else { return Ok(Routing::Range) };
    let prefix_delimiter = match (hash.prefix_delimiter, hash.prefix_delimiter_base64) {
        (Some(_), Some(_)) => {
            return Err(Fault::invalid("give prefixDelimiter or prefixDelimiterBase64, not both"));
        }
        (Some(text), None) => Bytes::from(text),
        (None, Some(text)) => {
            base64::engine::general_purpose::STANDARD.decode(text).map_err(fault)?.into()
        }
        (None, None) => Bytes::new(),
    };
    // The limits are checked where the wire form is.
    Routing::from_wire(Some(&Routing::Hash { prefix_delimiter }.to_wire()))
}

fn node_document(node: &Node, epoch: u64) -> DocumentNode {
    let Ports { doug, raft, admin, http } = node.ports;
    let usual = node.ports == Ports::default();
    DocumentNode {
        id: node.id.to_string(),
        name: node.name.clone(),
        cluster: node.cluster.clone(),
        address: node.address.clone(),
        ports: (!usual).then_some(DocumentPorts { doug, raft, admin, http }),
        version: (node.version != epoch).then_some(node.version),
    }
}

fn node(document: DocumentNode, epoch: u64) -> Result<Node, Fault> {
    let ports = document.ports.map_or_else(Ports::default, |p| Ports {
        doug: p.doug,
        raft: p.raft,
        admin: p.admin,
        http: p.http,
    });
    Ok(Node {
        id: document.id.parse().map_err(fault)?,
        name: document.name,
        cluster: document.cluster,
        address: document.address,
        ports,
        version: document.version.unwrap_or(epoch),
    })
}

fn partition_document(partition: &Partition) -> DocumentPartition {
    let ids = |members: &[Member]| members.iter().map(|m| m.node.to_string()).collect();
    DocumentPartition {
        id: partition.id,
        keyspace: partition.keyspace.number(),
        start: partition.start.iter().map(|byte| format!("{byte:02x}")).collect(),
        generation: partition.generation,
        cluster: partition.cluster.clone(),
        voters: ids(&partition.voters),
        learners: ids(&partition.learners),
        parents: partition.parents.clone(),
        outgoing: ids(&partition.outgoing),
    }
}

fn partition(document: DocumentPartition) -> Result<Partition, Fault> {
    let members = |ids: Vec<String>| {
        ids.into_iter()
            .map(|id| Ok(Member { node: id.parse().map_err(fault)?, replica: 0 }))
            .collect::<Result<Vec<_>, Fault>>()
    };
    Ok(Partition {
        id: document.id,
        keyspace: KeyspaceId::new(document.keyspace),
        start: from_hex(&document.start)?,
        end: Bytes::new(),
        generation: document.generation,
        cluster: document.cluster,
        voters: members(document.voters)?,
        learners: members(document.learners)?,
        parents: document.parents,
        outgoing: members(document.outgoing)?,
        next_replica: 0,
        goal: None,
        recoveries: Vec::new(),
    })
}

fn from_hex(text: &str) -> Result<Bytes, Fault> {
    let wrong =
        || Fault::invalid(format!("{} is not hexadecimal routing bytes", quote::text(text)));
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return Err(wrong());
    }
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).map_err(|_| wrong()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{sample, sample_with_catalog};
    use super::*;

    fn without_replicas(mut map: PartitionMap) -> PartitionMap {
        for member in map.partitions.iter_mut().flat_map(|p| &mut p.voters) {
            member.replica = 0;
        }
        map
    }

    #[test]
    fn a_map_survives_its_document() {
        let map = without_replicas(sample_with_catalog(3));
        assert_eq!(PartitionMap::from_json(&map.to_json()).unwrap(), map);
    }

    #[test]
    fn a_document_with_an_unknown_field_is_refused_by_name() {
        let text = sample(1).to_json().replace("\"epoch\"", "\"epok\"");
        let error = PartitionMap::from_json(&text).unwrap_err();
        assert!(error.to_string().contains("epok"), "{error}");
    }
}
