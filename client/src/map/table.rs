//! The partition map made ready for routing: each partition with connections to
//! its replicas, its last leader and this client's session.

use super::group::{Group, LeaderCell, Replica};
use crate::connection::Connection;
use crate::sessions::SessionSlot;
use crate::settings::Settings;
use doug_proto::ids::NodeId;
use doug_proto::map::{Keyspace, Partition, PartitionMap};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// One partition, as operations see it.
pub(crate) struct Route {
    pub(crate) id: u64,
    pub(crate) generation: u64,
    pub(crate) database: String,
    pub(crate) group: Group,
    pub(crate) session: Arc<SessionSlot>,
}

/// All of them, of one map.
pub(crate) struct Table {
    pub(crate) map: Arc<PartitionMap>,
    /// In the order of the map's partitions.
    routes: Vec<Arc<Route>>,
    by_id: FxHashMap<u64, usize>,
    connections: FxHashMap<NodeId, Connection>,
}

impl Table {
    /// Makes one from `map`, keeping of `former` the connections, leaders and
    /// sessions that still mean the same.
    pub(crate) fn new(
        map: Arc<PartitionMap>,
        former: Option<&Table>,
        settings: &Arc<Settings>,
    ) -> Self {
        // Sessions and partition ids of another database mean nothing in this one.
        let former = former.filter(|former| former.map.database == map.database);
        let connections: FxHashMap<NodeId, Connection> = map
            .nodes
            .iter()
            .map(|node| {
                let address = node.doug_address();
                let known = former.and_then(|former| former.connections.get(&node.id));
                let connection = match known.filter(|known| known.address() == address) {
                    Some(known) => known.clone(),
                    None => Connection::new(address, settings.clone()),
                };
                (node.id, connection)
            })
            .collect();
        let routes: Vec<_> = map
            .partitions
            .iter()
            .map(|partition| {
                let known = former.and_then(|former| former.by_id(partition.id));
                Arc::new(route(&map, partition, &connections, known.map(Arc::as_ref)))
            })
            .collect();
        let by_id = routes.iter().enumerate().map(|(i, route)| (route.id, i)).collect();
        Self { map, routes, by_id, connections }
    }

    /// The partition of a key in a keyspace of the map.
    pub(crate) fn by_key(&self, keyspace: &Keyspace, key: &[u8]) -> &Arc<Route> {
        &self.routes[self.map.position_in(keyspace, key)]
    }

    /// The partition with this id.
    pub(crate) fn by_id(&self, id: u64) -> Option<&Arc<Route>> {
        self.by_id.get(&id).map(|position| &self.routes[*position])
    }

    /// The connection to a node.
    pub(crate) fn connection(&self, node: NodeId) -> Option<&Connection> {
        self.connections.get(&node)
    }
}

fn route(
    map: &PartitionMap,
    partition: &Partition,
    connections: &FxHashMap<NodeId, Connection>,
    former: Option<&Route>,
) -> Route {
    // While members change, an outgoing voter may lead until the change ends.
    let outgoing = partition.outgoing.iter().filter(|member| !partition.voters.contains(member));
    let voters = partition.voters.iter().chain(outgoing).map(|member| (member.node, true));
    let learners = partition.learners.iter().map(|member| (member.node, false));
    // validate() guarantees that every member is a node of the map.
    let replicas = voters.chain(learners).filter_map(|(node, voter)| {
        let connection = connections.get(&node)?.clone();
        Some(Replica { connection, voter })
    });
    let leader = former.map_or_else(|| Arc::new(LeaderCell::default()), |f| f.group.leader.clone());
    Route {
        id: partition.id,
        generation: partition.generation,
        database: map.database.to_string(),
        group: Group::new(replicas.collect(), leader),
        session: former.map_or_else(|| Arc::new(SessionSlot::default()), |f| f.session.clone()),
    }
}

/// The map with one descriptor replaced, if that is news and fits in.
pub(crate) fn learn(known: &PartitionMap, descriptor: &Partition) -> Option<PartitionMap> {
    let position = known.partitions.iter().position(|p| p.id == descriptor.id)?;
    let old = &known.partitions[position];
    let place = |p: &Partition| (p.keyspace, p.start.clone(), p.end.clone());
    let fits = place(old) == place(descriptor);
    if !fits || descriptor.generation <= old.generation {
        return None;
    }
    let mut learnt = known.clone();
    learnt.partitions[position] = descriptor.clone();
    learnt.validate().ok().map(|()| learnt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use doug_proto::ids::DatabaseId;
    use doug_proto::map::{KeyspaceId, Member, Node, Ports};
    use doug_proto::routing::Routing;

    fn sample() -> PartitionMap {
        let node = |number: u64| Node {
            id: NodeId::from_bits(number),
            name: format!("n{number}"),
            cluster: "a".into(),
            address: format!("n{number}"),
            ports: Ports::default(),
            version: 1,
        };
        let half = Bytes::from_static(b"m");
        let partition = |id: u64, start: Bytes, end: Bytes| Partition {
            id,
            keyspace: KeyspaceId::DEFAULT,
            start,
            end,
            generation: 1,
            cluster: "a".into(),
            voters: vec![Member { node: NodeId::from_bits(1), replica: 1 }],
            learners: Vec::new(),
            parents: Vec::new(),
            outgoing: Vec::new(),
            next_replica: 0,
            goal: None,
            recoveries: Vec::new(),
        };
        PartitionMap {
            epoch: 1,
            keyspaces: vec![Keyspace::default_with(Routing::Range)],
            clusters: Vec::new(),
            nodes: vec![node(1), node(2)],
            partitions: vec![
                partition(1, Bytes::new(), half.clone()),
                partition(2, half, Bytes::new()),
            ],
            ..PartitionMap::empty(DatabaseId::from_bits(0xdb))
        }
    }

    fn generations(map: &PartitionMap) -> Vec<u64> {
        map.partitions.iter().map(|partition| partition.generation).collect()
    }

    #[test]
    fn a_descriptor_of_another_interval_or_an_older_generation_is_no_news() {
        let known = sample();
        let mut same = known.partitions[0].clone();
        assert!(learn(&known, &same).is_none());
        same.generation = 2;
        assert_eq!(generations(&learn(&known, &same).unwrap()), [2, 1]);
        same.end = Bytes::from_static(b"g");
        assert!(learn(&known, &same).is_none());
    }
}
