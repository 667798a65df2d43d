//! Promises about members that change: "members change by legal steps", "one change of
//! members at a time", "replica ids are used once", "generations and epochs never fall",
//! "what newer programs put into the map is kept".

use super::Violation;
use bytes::Bytes;
use doug_node::host::wire::Route;
use doug_proto::ids::NodeId;
use doug_proto::map::{Member, Partition, PartitionMap};
use doug_proto::v1;
use doug_raft::{Batch, BatchKind, Membership, Raft, Role};
use doug_storage::ReplicaKey;
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};

/// What became of a replica on one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// It is being made, or removed: a crash leaves either.
    Changing,
    /// It was durably there.
    Held,
    /// Its tombstone was durably there.
    Removed,
}

/// The last that a node has stored of the map: its epoch, and generations by partition.
type Stored = (u64, BTreeMap<u64, u64>);

/// Entries of kinds that this program does not know, and those of clusters as they came: with
/// fields that it does not know. The simulator changes neither.
type NewerEntries = (Vec<v1::MapEntry>, Vec<Bytes>);

#[derive(Debug, Default)]
pub(super) struct Members {
    /// Committed descriptors of each partition, with their indexes; the first map's at 0.
    committed: BTreeMap<u64, Vec<(u64, Partition)>>,
    /// Descriptors that stand in maps, and must be committed ones.
    claimed: BTreeMap<(u64, u64), Partition>,
    stored: BTreeMap<NodeId, Stored>,
    /// What newer programs have put into the first map: every map must have it.
    newer: NewerEntries,
    places: FxHashMap<(NodeId, ReplicaKey), Place>,
    /// The last configuration that a leader put into its log: its term and index.
    proposals: BTreeMap<u64, (u64, u64)>,
    /// From which node each replica speaks.
    homes: FxHashMap<ReplicaKey, NodeId>,
}

const STEPS: &str = "members change by legal steps";
const ONE: &str = "one change of members at a time";
const ONCE: &str = "replica ids are used once";
const KEPT: &str = "what newer programs put into the map is kept";
const RISE: &str = "generations and epochs never fall";

fn newer_entries(map: &PartitionMap) -> NewerEntries {
    let wire = map.to_wire();
    (wire.others, wire.clusters)
}

impl Members {
    /// The database begins with this map.
    pub(super) fn begin(&mut self, map: &PartitionMap) {
        self.newer = newer_entries(map);
        for partition in &map.partitions {
            self.committed.insert(partition.id, vec![(0, partition.clone())]);
        }
    }

    /// The last committed descriptor at or below an index, and whether it stands in the log.
    pub(super) fn at(&self, partition: u64, index: u64) -> Option<(&Partition, bool)> {
        let committed = self.committed.get(&partition)?;
        let (at, descriptor) = committed.iter().rev().find(|(at, _)| *at <= index)?;
        Some((descriptor, *at > 0))
    }

    /// A configuration is committed: returns the descriptor before it, and its own.
    pub(super) fn commit(
        &mut self,
        batch: &Batch,
    ) -> Result<Option<(Partition, Partition)>, Violation> {
        let id = batch.partition.0;
        let Some(committed) = self.committed.get_mut(&id) else { return Ok(None) };
        let Some(next) = descriptor_of(batch) else {
            return Err(Violation::new(STEPS, format!("partition {id}: one that is unreadable")));
        };
        let before = committed.last().expect("the first map's").1.clone();
        if let Some(wrong) = illegal(&before, &next) {
            let what =
                format!("partition {id} at {}: {wrong}: {before:?}, then {next:?}", batch.base);
            return Err(Violation::new(STEPS, what));
        }
        committed.push((batch.base, next.clone()));
        let claim = self.claimed.get(&(id, next.generation)).cloned();
        if let Some(claim) = claim.filter(|claim| *claim != next) {
            return Err(unlike(&claim, &next));
        }
        Ok(Some((before, next)))
    }

    /// A leader has put a configuration into its log.
    pub(super) fn proposed(&mut self, raft: &Raft, batch: &Batch) -> Result<(), Violation> {
        if raft.role() != Role::Leader || batch.term != raft.term() {
            return Ok(());
        }
        let wrong = |what: String| {
            let (partition, leader) = (raft.partition(), raft.id());
            Err(Violation::new(ONE, format!("partition {partition}: leader {leader} {what}")))
        };
        let (term, commit) = (raft.term(), raft.commit());
        let before = self.proposals.insert(batch.partition.0, (batch.term, batch.base));
        if let Some((_, base)) = before.filter(|(of, base)| *of == term && *base > commit) {
            return wrong(format!(
                "changes members at {} while the change at {base} is not committed",
                batch.base
            ));
        }
        // What a leader has committed in its own term covers all that it took over.
        if raft.term_at(commit).is_some_and(|at| at != term) {
            return wrong(format!("changes members before it has committed in term {term}"));
        }
        Ok(())
    }

    /// A node has stored a map.
    pub(super) fn map_stored(&mut self, node: NodeId, map: &PartitionMap) -> Result<(), Violation> {
        self.check_stored(node, map)?;
        for partition in &map.partitions {
            let key = (partition.id, partition.generation);
            let committed = self.committed.get(&partition.id).into_iter().flatten();
            let mut committed = committed.map(|(_, descriptor)| descriptor);
            let known = committed.find(|descriptor| descriptor.generation == partition.generation);
            let known = known.or(self.claimed.get(&key));
            match known {
                Some(known) if known != partition => return Err(unlike(partition, known)),
                Some(_) => {}
                None => {
                    self.claimed.insert(key, partition.clone());
                }
            }
        }
        let generations = map.partitions.iter().map(|p| (p.id, p.generation)).collect();
        self.stored.insert(node, (map.epoch, generations));
        Ok(())
    }

    fn check_stored(&self, node: NodeId, map: &PartitionMap) -> Result<(), Violation> {
        let newer = newer_entries(map);
        if newer != self.newer {
            let what = format!("node {node} has {newer:?}, and not {:?}", self.newer);
            return Err(Violation::new(KEPT, what));
        }
        let Some((epoch, generations)) = self.stored.get(&node) else { return Ok(()) };
        if map.epoch < *epoch {
            let what = format!("node {node} goes back from epoch {epoch} to {}", map.epoch);
            return Err(Violation::new(RISE, what));
        }
        for partition in &map.partitions {
            let before = generations.get(&partition.id).copied().unwrap_or(0);
            if partition.generation < before {
                let what = format!(
                    "node {node} goes back from generation {before} of partition {} to {}",
                    partition.id, partition.generation
                );
                return Err(Violation::new(RISE, what));
            }
        }
        Ok(())
    }

    /// A node begins to make or to remove a replica.
    pub(super) fn changing(
        &mut self,
        node: NodeId,
        replica: ReplicaKey,
        makes: bool,
    ) -> Result<(), Violation> {
        let before = self.places.insert((node, replica), Place::Changing);
        if makes && matches!(before, Some(Place::Held | Place::Removed)) {
            let what = format!("node {node} makes replica {replica} anew: it was {before:?}");
            return Err(Violation::new(ONCE, what));
        }
        Ok(())
    }

    /// It is durable: the replica is there, or gone.
    pub(super) fn changed(&mut self, node: NodeId, replica: ReplicaKey, is_there: bool) {
        let place = if is_there { Place::Held } else { Place::Removed };
        self.places.insert((node, replica), place);
    }

    /// What a node found on its disk: the map, replicas, tombstones.
    pub(super) fn opened(
        &mut self,
        node: NodeId,
        map: Option<&PartitionMap>,
        live: &BTreeSet<ReplicaKey>,
        removed: &BTreeSet<ReplicaKey>,
    ) -> Result<(), Violation> {
        match map {
            Some(map) => self.check_stored(node, map)?,
            None if self.stored.contains_key(&node) => {
                let what = format!("node {node} had joined the database and forgot it");
                return Err(Violation::new("no acknowledged write lost", what));
            }
            None => {}
        }
        for ((at, replica), place) in &mut self.places {
            if *at != node {
                continue;
            }
            let there = (live.contains(replica), removed.contains(replica));
            let fits = match place {
                // A crash in the middle leaves either; one that was not made yet may be.
                Place::Changing => {
                    *place = match there {
                        (true, _) => Place::Held,
                        (_, true) => Place::Removed,
                        _ => Place::Changing,
                    };
                    true
                }
                Place::Held => there == (true, false),
                Place::Removed => there == (false, true),
            };
            if !fits {
                let what = format!(
                    "node {node} finds replica {replica} there: {}, removed: {}, but it was \
                     {place:?}",
                    there.0, there.1
                );
                return Err(Violation::new("no acknowledged write lost", what));
            }
        }
        Ok(())
    }

    /// A node is to come back as if it had never been there.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.stored.remove(&node);
        self.places.retain(|(at, _), _| *at != node);
    }

    /// A node sends a message of a replica.
    pub(super) fn speaks(&mut self, node: NodeId, route: Route) -> Result<(), Violation> {
        let replica = ReplicaKey { partition: route.partition, replica: route.from.0 };
        let home = *self.homes.entry(replica).or_insert(node);
        let place = self.places.get(&(node, replica));
        if home == node && matches!(place, Some(Place::Held)) {
            return Ok(());
        }
        let what = match place {
            Some(Place::Held) => format!("replica {replica} speaks from {home} and from {node}"),
            place => format!("replica {replica} speaks from {node}, where it is {place:?}"),
        };
        Err(Violation::new(ONCE, what))
    }
}

fn unlike(one: &Partition, other: &Partition) -> Violation {
    let what = format!("two descriptors of one generation: {one:?} and {other:?}");
    Violation::new(RISE, what)
}

/// The descriptor of a configuration.
pub(super) fn descriptor_of(batch: &Batch) -> Option<Partition> {
    if batch.kind != BatchKind::Configuration {
        return None;
    }
    let membership = Membership::decode(&batch.commands().next()?).ok()?;
    Partition::decode(&membership.context).ok()
}

fn set(members: &[Member]) -> BTreeSet<Member> {
    members.iter().copied().collect()
}

/// What is wrong with a step from one descriptor to the next (docs/consensus.md).
fn illegal(from: &Partition, to: &Partition) -> Option<String> {
    if to.generation != from.generation + 1 {
        return Some(format!("generation {} follows {}", to.generation, from.generation));
    }
    if to.next_replica() < from.next_replica() {
        return Some("replica ids may be given again".to_owned());
    }
    let reused = |member: &Member| {
        member.replica < from.next_replica() && from.member(member.replica) != Some(*member)
    };
    if let Some(member) = to.members().find(reused) {
        return Some(format!("replica id {} is used again", member.replica));
    }
    let legal = match (from.outgoing.is_empty(), to.outgoing.is_empty()) {
        (true, true) => set(&from.voters) == set(&to.voters),
        (true, false) => set(&from.voters) == set(&to.outgoing),
        (false, true) => set(&from.voters) == set(&to.voters),
        (false, false) => false,
    };
    (!legal).then(|| "no such step is allowed".to_owned())
}
