//! Five nodes, their network, disks and clients.

mod course;
mod recovery;
mod running;

use crate::checker::Ledger;
use crate::disk::Disk;
use crate::told::{Bug, Told};
use bytes::Bytes;
use doug_node::host::{Event, Host, HostConfig, Reply};
use doug_node::membership::WantedReplica;
use doug_node::work::{RequestId, Sequence};
use doug_proto::error::Fault;
use doug_proto::ids::NodeId;
use doug_proto::map::{KeyspaceId, Member, Partition};
use doug_proto::v1::PeerTurn;
use doug_raft::Time;
use doug_sim::random::Random;
use doug_storage::ReplicaKey;
use doug_storage::log::Record;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const NODES: usize = 5;
/// The first two have all nodes, the third has three of them.
const PARTITIONS: u64 = 3;
const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(15);
const NEVER: Time = Time(u64::MAX - 1);

#[derive(Debug)]
enum Happening {
    Tick,
    Durable { node: usize, life: u64, records: Vec<(Sequence, Record)> },
    Turn { from: usize, to: usize, turn: PeerTurn },
    Map { to: usize, descriptor: Partition },
    Create { to: usize, wanted: Box<WantedReplica> },
    Restart { node: usize },
}

pub struct World {
    random: Random,
    bug: Option<Bug>,
    now: Time,
    order: u64,
    agenda: BTreeMap<(Time, u64), Happening>,
    hosts: Vec<Option<Host>>,
    lives: Vec<u64>,
    disks: Vec<Disk>,
    /// What each node's map says of the partitions.
    maps: Vec<BTreeMap<u64, Partition>>,
    /// Links that carry nothing.
    cut: BTreeSet<(usize, usize)>,
    lost: BTreeSet<usize>,
    faults: bool,
    ledgers: BTreeMap<u64, Ledger>,
    writes: BTreeMap<RequestId, Bytes>,
    replies: BTreeMap<RequestId, Result<Reply, Fault>>,
    served: BTreeSet<RequestId>,
    next: u64,
    told: Told,
}

fn id(node: usize) -> NodeId {
    NodeId::from_bits(node as u64 + 1)
}

fn index(node: NodeId) -> usize {
    node.bits() as usize - 1
}

impl World {
    pub fn new(seed: u64, bug: Option<Bug>) -> Self {
        let mut world = Self {
            random: Random::for_purpose(seed, 77),
            bug,
            now: Time(0).after(SECOND),
            order: 0,
            agenda: BTreeMap::new(),
            hosts: (0..NODES).map(|_| None).collect(),
            lives: vec![0; NODES],
            disks: vec![Disk::default(); NODES],
            maps: vec![BTreeMap::new(); NODES],
            cut: BTreeSet::new(),
            lost: BTreeSet::new(),
            faults: true,
            ledgers: (1..=PARTITIONS).map(|partition| (partition, Ledger::default())).collect(),
            writes: BTreeMap::new(),
            replies: BTreeMap::new(),
            served: BTreeSet::new(),
            next: 0,
            told: Told::default(),
        };
        for partition in 1..=PARTITIONS {
            let mut nodes: Vec<usize> = (0..NODES).collect();
            world.random.shuffle(&mut nodes);
            nodes.truncate(if partition == PARTITIONS { 3 } else { NODES });
            let member = |(node, replica): (usize, u64)| Member { node: id(node), replica };
            let descriptor = Partition {
                id: partition,
                keyspace: KeyspaceId::DEFAULT,
                start: Bytes::new(),
                end: Bytes::new(),
                generation: 1,
                cluster: "a".into(),
                voters: nodes.iter().copied().zip(1..).map(member).collect(),
                learners: Vec::new(),
                parents: Vec::new(),
                outgoing: Vec::new(),
                next_replica: 0,
                goal: None,
                recoveries: Vec::new(),
            };
            for voter in &descriptor.voters {
                let key = ReplicaKey { partition, replica: voter.replica };
                world.disks[index(voter.node)].create(key, descriptor.clone());
            }
            world.maps.iter_mut().for_each(|map| drop(map.insert(partition, descriptor.clone())));
        }
        (0..NODES).for_each(|node| world.start(node));
        world.later(TICK, Happening::Tick);
        world
    }

    fn start(&mut self, node: usize) {
        self.lives[node] += 1;
        let config = HostConfig {
            quiesce_after: None,
            payload_cache_bytes: 1 << 40,
            incarnation: self.lives[node] * 100 + node as u64,
            recovery_bug: match self.bug {
                Some(Bug::Host(bug)) => Some(bug),
                _ => None,
            },
            ..HostConfig::new(id(node))
        };
        let mut host = Host::new(config);
        let seed = self.random.next();
        for found in self.disks[node].found(seed) {
            host.restore(self.now, found);
        }
        self.hosts[node] = Some(host);
        // Each opens streams to the others, whose hellos say what their programs support.
        for other in (0..NODES).filter(|other| *other != node) {
            for (one, about) in [(node, other), (other, node)] {
                if let Some(host) = &mut self.hosts[one] {
                    let event = Event::Supports { node: id(about), level: 1 };
                    host.step(self.now, event);
                }
            }
        }
    }

    fn crash(&mut self, node: usize) {
        self.hosts[node] = None;
    }

    fn request(&mut self) -> RequestId {
        self.next += 1;
        RequestId(self.next)
    }

    fn later(&mut self, pause: Duration, what: Happening) {
        self.order += 1;
        self.agenda.insert((self.now.after(pause), self.order), what);
    }

    /// The newest descriptors that any node knows.
    fn newest(&self) -> BTreeMap<u64, Partition> {
        let mut newest: BTreeMap<u64, Partition> = BTreeMap::new();
        for descriptor in self.maps.iter().flat_map(BTreeMap::values) {
            let known = newest.get(&descriptor.id).map_or(0, |known| known.generation);
            if descriptor.generation > known {
                newest.insert(descriptor.id, descriptor.clone());
            }
        }
        newest
    }

    /// The leader of the group that the descriptor is of.
    fn leader(&self, partition: u64, descriptor: &Partition) -> Option<usize> {
        (0..NODES).find(|node| {
            let raft = self.hosts[*node].as_ref().and_then(|host| host.raft(partition));
            raft.is_some_and(|raft| {
                raft.leader() == Some(raft.id()) && !descriptor.is_of_lost_group(raft.id().0)
            })
        })
    }
}
