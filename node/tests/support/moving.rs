//! Hosts on six nodes, and a partition on the first three of them whose members change.
#![allow(dead_code)] // each test file uses its part

#[path = "three_nodes.rs"]
mod three_nodes;

pub use three_nodes::{SECOND, node};

use bytes::Bytes;
use doug_node::host::{Effects, Event, Host, HostConfig, ReadKind, Reply};
use doug_node::membership::{RecoveryOrder, WantedReplica};
use doug_node::work::RequestId;
use doug_proto::error::Fault;
use doug_proto::map::{Goal, Partition};
use doug_proto::v1::{self, command::Command};
use doug_raft::{BatchKind, Clock, Membership, Stamp, Time};
use doug_storage::ReplicaKey;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use three_nodes::{MILLISECOND, NEVER, descriptor, take_effects};

const NODES: usize = 6;

pub fn goal(nodes: &[usize]) -> Goal {
    Goal { nodes: nodes.iter().map(|i| node(*i)).collect(), cluster: "b".into(), discarded: vec![] }
}

/// Nobody here reads payloads back that a partition lets go of when it quiesces.
fn config(number: usize) -> HostConfig {
    HostConfig { quiesce_after: None, supports: 2, ..HostConfig::new(node(number)) }
}

/// One partition on nodes 0 to 2 of six.
pub struct Database {
    pub hosts: Vec<Host>,
    pub now: Time,
    pub cut: BTreeSet<usize>,
    /// The newest descriptor that anyone has applied, as every node's map has it.
    pub map: Partition,
    /// Every descriptor that was applied, by generation.
    history: BTreeMap<u64, Partition>,
    pub replicas: BTreeMap<usize, u64>,
    pub removed: BTreeSet<(usize, u64)>,
    pub replies: BTreeMap<RequestId, Result<Reply, Fault>>,
    applied: BTreeSet<RequestId>,
    /// A host that is not told yet what was applied for it.
    pub applies_late: Option<usize>,
    late: Vec<Event>,
    next_request: u64,
    /// No node hears of a map that leaves its replica out.
    pub remove_nothing: bool,
    /// Reads that may be served.
    pub ready: BTreeSet<RequestId>,
    /// Messages sent by replicas of each node.
    pub sent: BTreeMap<usize, usize>,
}

impl Database {
    pub fn new() -> Self {
        let mut database = Self {
            hosts: (0..NODES).map(|i| Host::new(config(i))).collect(),
            now: Time(0).after(SECOND),
            cut: BTreeSet::new(),
            map: descriptor(1),
            history: BTreeMap::new(),
            replicas: BTreeMap::new(),
            removed: BTreeSet::new(),
            replies: BTreeMap::new(),
            applied: BTreeSet::new(),
            applies_late: None,
            late: Vec::new(),
            next_request: 0,
            remove_nothing: false,
            ready: BTreeSet::new(),
            sent: BTreeMap::new(),
        };
        for i in 0..3 {
            database.create(i, i as u64 + 1, descriptor(1));
        }
        database
    }

    /// One whose nodes all run this program, and know it of each other.
    pub fn ready() -> Self {
        let mut database = Self::new();
        (0..NODES).for_each(|number| database.says(number, 2));
        database.pass(2 * SECOND);
        database
    }

    /// All others hear which level a node's program supports.
    pub fn says(&mut self, number: usize, level: u32) {
        let event = Event::Supports { node: node(number), level };
        for host in (0..NODES).filter(|host| *host != number) {
            self.hosts[host].step(self.now, event.clone());
        }
    }

    /// The feature level of the partition.
    pub fn level(&self) -> u32 {
        let leader = self.leader().expect("a leader");
        self.hosts[leader].status(self.now)[0].feature_level
    }

    /// A goal's answer, if there is one yet.
    pub fn answer(&self, request: RequestId) -> Option<Result<(), &Fault>> {
        Some(self.replies.get(&request)?.as_ref().map(|_| ()))
    }

    fn create(&mut self, host: usize, replica: u64, descriptor: Partition) {
        if self.replicas.contains_key(&host) || self.removed.contains(&(host, replica)) {
            return;
        }
        self.replicas.insert(host, replica);
        let replica = ReplicaKey { partition: 1, replica };
        let seed = 10 * replica.replica + host as u64;
        let descriptor = Box::new(descriptor);
        self.hosts[host].step(self.now, Event::Create { replica, descriptor, seed });
    }

    pub fn leader(&self) -> Option<usize> {
        let leads = |i: &usize| self.hosts[*i].leaderships() > 0 && !self.cut.contains(i);
        (0..NODES).filter(leads).max_by_key(|i| self.hosts[*i].raft(1).unwrap().term())
    }

    fn request(&mut self) -> RequestId {
        self.next_request += 1;
        RequestId(self.next_request)
    }

    pub fn ask_for(&mut self, goal: Goal) -> RequestId {
        self.ask_until(goal, NEVER)
    }

    pub fn ask_until(&mut self, goal: Goal, deadline: Time) -> RequestId {
        let (request, leader) = (self.request(), self.leader().expect("a leader"));
        let event = Event::ChangeMembers { request, partition: 1, goal, generation: 0, deadline };
        self.hosts[leader].step(self.now, event);
        self.settle();
        request
    }

    /// Has the partition begin anew from the replica on this node, as a caller asks for it who
    /// takes all that is cut off for lost.
    pub fn recover(&mut self, survivor: usize) -> RequestId {
        let request = self.request();
        let raft = self.hosts[survivor].raft(1).expect("a replica");
        let order = Box::new(RecoveryOrder {
            partition: 1,
            replica: raft.id().0,
            generation: self.hosts[survivor].status(self.now)[0]
                .descriptor
                .as_ref()
                .map_or(0, |descriptor| descriptor.generation),
            end: raft.log_end(),
            committed: 0,
            lost: self.cut.iter().map(|number| node(*number)).collect(),
            discarded: Vec::new(),
            by: "a test".to_owned(),
            at_milliseconds: 1,
        });
        let event = Event::Recover { request, order, deadline: NEVER };
        self.hosts[survivor].step(self.now, event);
        self.settle();
        request
    }

    /// Reads with a session token of this revision.
    pub fn read_at(&mut self, host: usize, index: u64) -> RequestId {
        let request = self.request();
        let kind = ReadKind::Applied { index };
        let event = Event::Read { request, partition: 1, kind, deadline: NEVER };
        self.hosts[host].step(self.now, event);
        self.settle();
        request
    }

    pub fn pass(&mut self, duration: Duration) {
        let end = self.now.after(duration);
        while self.now < end {
            self.turn();
        }
    }

    pub fn turn(&mut self) {
        self.now = self.now.after(10 * MILLISECOND);
        for host in &mut self.hosts {
            host.step(self.now, Event::Tick { wall: Clock(0) });
        }
        self.settle();
    }

    fn settle(&mut self) {
        loop {
            let Some(effects) = take_effects(&mut self.hosts, self.now) else { return };
            for (host, effects) in effects.into_iter().enumerate() {
                self.carry_out(host, effects);
            }
            self.remove_left_out();
        }
    }

    fn carry_out(&mut self, host: usize, effects: Effects) {
        self.replies.extend(effects.replies);
        self.ready.extend(effects.ready.iter().map(|read| read.request));
        if let Some((sequence, _)) = effects.records.last() {
            self.hosts[host]
                .step(self.now, Event::Persisted { upto: *sequence, passed: Vec::new() });
        }
        for work in effects.apply {
            let mut level = 1;
            let index = work.batches.last().expect("work is never empty").batch.last();
            for apply in work.batches {
                self.applied.extend(apply.waiting);
                match apply.batch.kind {
                    BatchKind::Configuration | BatchKind::Recovery => {
                        let command = apply.batch.commands().next().unwrap();
                        let context = Membership::decode(&command).unwrap().context;
                        self.publish(Partition::decode(&context).unwrap());
                    }
                    BatchKind::Commands => {
                        level = apply.batch.commands().map(level_in).fold(level, u32::max);
                    }
                    BatchKind::Noop => {}
                }
            }
            let replica = work.replica;
            let (feature_level, wanted, next_expiry) = (level, None, None);
            let event = Event::Applied { replica, index, feature_level, wanted, next_expiry };
            if self.applies_late == Some(host) {
                self.late.push(event)
            } else {
                self.hosts[host].step(self.now, event)
            }
        }
        for (to, turn) in effects.turns {
            let receiver = to.bits() as usize - 1;
            *self.sent.entry(host).or_default() += 1;
            if !self.cut.contains(&host) && !self.cut.contains(&receiver) {
                self.hosts[receiver].step(self.now, Event::Turn { from: node(host), turn });
            }
        }
        for WantedReplica { member, descriptor, .. } in effects.creations {
            let target = member.node.bits() as usize - 1;
            if !self.cut.contains(&host) && !self.cut.contains(&target) {
                self.create(target, member.replica, descriptor.before_joining());
            }
        }
    }

    /// Tells the host that applies late what was applied for it by now.
    pub fn catch_up_with_applying(&mut self) {
        let host = self.applies_late.take().expect("a host that applies late");
        for event in std::mem::take(&mut self.late) {
            self.hosts[host].step(self.now, event);
        }
        self.settle();
    }

    /// How many removals their hosts have confirmed.
    pub fn confirmed(&self) -> usize {
        self.replies.values().filter(|reply| matches!(reply, Ok(Reply::Removed))).count()
    }

    fn publish(&mut self, descriptor: Partition) {
        let known = self.history.insert(descriptor.generation, descriptor.clone());
        assert!(known.is_none_or(|known| known == descriptor), "two of one generation committed");
        if descriptor.generation > self.map.generation {
            self.map = descriptor;
        }
    }

    /// What the adapters do with a map that leaves a replica out.
    fn remove_left_out(&mut self) {
        for (host, replica) in self.replicas.clone() {
            let gone = replica < self.map.next_replica() && self.map.member(replica).is_none();
            if gone && !self.remove_nothing && !self.cut.contains(&host) {
                let (request, key) = (self.request(), ReplicaKey { partition: 1, replica });
                self.hosts[host].step(self.now, Event::Remove { request, replica: key });
                self.replicas.remove(&host);
                self.removed.insert((host, replica));
            }
        }
    }

    /// Writes as a client does: to the leader, and again where nothing was done.
    pub fn write(&mut self) {
        loop {
            let Some(leader) = self.leader() else {
                self.turn();
                continue;
            };
            let request = self.request();
            let command = Bytes::from_static(b"");
            let event =
                Event::Write { request, partition: 1, command, seen: Stamp(0), deadline: NEVER };
            self.hosts[leader].step(self.now, event);
            self.settle();
            for _ in 0..500 {
                if self.applied.contains(&request) {
                    return;
                }
                if let Some(reply) = self.replies.get(&request) {
                    let fault = reply.as_ref().expect_err("a write is not answered like this");
                    assert!(fault.is_not_executed(), "a write failed: {fault:?}");
                    break;
                }
                self.turn();
            }
        }
    }

    pub fn nodes(&self) -> Vec<usize> {
        self.map.voters.iter().map(|voter| voter.node.bits() as usize - 1).collect()
    }

    pub fn is_at_rest(&self) -> bool {
        let Partition { goal, outgoing, learners, .. } = &self.map;
        goal.is_none() && outgoing.is_empty() && learners.is_empty()
    }
}

fn level_in(bytes: Bytes) -> u32 {
    match v1::Command::decode(bytes).ok().and_then(|command| command.command) {
        Some(Command::RaiseFeatureLevel(raise)) => raise.level,
        _ => 1,
    }
}
