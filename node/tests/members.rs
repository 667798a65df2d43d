//! Members that come and go, seen from outside: hosts on six nodes, a partition
//! that moves from three of them to the others while a client writes.

#[path = "support/votes.rs"]
mod votes;

use bytes::Bytes;
use doug_node::host::{Effects, Event, Host, HostConfig, Reply, RequestId, WantedReplica};
use doug_proto::error::Fault;
use doug_proto::ids::NodeId;
use doug_proto::map::{Goal, Member, Partition};
use doug_proto::v1::{self, command::Command};
use doug_raft::{BatchKind, Membership, Time};
use doug_storage::ReplicaKey;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};

const MILLISECOND: u64 = 1_000;
const SECOND: u64 = 1_000_000;
const NEVER: Time = Time(u64::MAX - 1);
const NODES: usize = 6;

fn node(number: usize) -> NodeId {
    NodeId::from_bits(number as u64 + 1)
}

fn first_descriptor() -> Partition {
    Partition {
        id: 1,
        start: Bytes::new(),
        end: Bytes::new(),
        generation: 1,
        cluster: "a".into(),
        voters: (0..3).map(|i| Member { node: node(i), replica: i as u64 + 1 }).collect(),
        learners: Vec::new(),
        parents: Vec::new(),
        outgoing: Vec::new(),
        next_replica: 0,
        goal: None,
    }
}

fn goal(nodes: &[usize]) -> Goal {
    Goal { nodes: nodes.iter().map(|i| node(*i)).collect(), cluster: "b".into(), discarded: vec![] }
}

/// One partition on nodes 0 to 2 of six.
struct Database {
    hosts: Vec<Host>,
    now: Time,
    cut: BTreeSet<usize>,
    /// The newest descriptor that anyone has applied, as every node's map has it.
    map: Partition,
    /// Every descriptor that was applied, by generation.
    history: BTreeMap<u64, Partition>,
    replicas: BTreeMap<usize, u64>,
    removed: BTreeSet<(usize, u64)>,
    replies: BTreeMap<RequestId, Result<Reply, Fault>>,
    applied: BTreeSet<RequestId>,
    next_request: u64,
    /// Messages sent by replicas of each node.
    sent: BTreeMap<usize, usize>,
}

impl Database {
    fn new() -> Self {
        let mut database = Self {
            hosts: (0..NODES).map(|i| Host::new(HostConfig::new(node(i)))).collect(),
            now: Time(SECOND),
            cut: BTreeSet::new(),
            map: first_descriptor(),
            history: BTreeMap::new(),
            replicas: BTreeMap::new(),
            removed: BTreeSet::new(),
            replies: BTreeMap::new(),
            applied: BTreeSet::new(),
            next_request: 0,
            sent: BTreeMap::new(),
        };
        for i in 0..3 {
            database.create(i, i as u64 + 1, first_descriptor());
        }
        database
    }

    /// One whose nodes all run this program.
    fn ready() -> Self {
        let mut database = Self::new();
        for host in 0..NODES {
            for other in 0..NODES {
                let event = Event::Supports { node: node(other), level: 2 };
                database.hosts[host].step(database.now, event);
            }
        }
        database.pass(2 * SECOND);
        database
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

    fn leader(&self) -> Option<usize> {
        let leads = |i: &usize| self.hosts[*i].leaderships() > 0 && !self.cut.contains(i);
        (0..NODES).filter(leads).max_by_key(|i| self.hosts[*i].raft(1).unwrap().term())
    }

    fn request(&mut self) -> RequestId {
        self.next_request += 1;
        RequestId(self.next_request)
    }

    fn ask_for(&mut self, goal: Goal) -> RequestId {
        let (request, leader) = (self.request(), self.leader().expect("a leader"));
        let event =
            Event::ChangeMembers { request, partition: 1, goal, generation: 0, deadline: NEVER };
        self.hosts[leader].step(self.now, event);
        self.settle();
        request
    }

    fn pass(&mut self, microseconds: u64) {
        let end = self.now.after(microseconds);
        while self.now < end {
            self.turn();
        }
    }

    fn turn(&mut self) {
        self.now = self.now.after(10 * MILLISECOND);
        for host in &mut self.hosts {
            host.step(self.now, Event::Tick);
        }
        self.settle();
    }

    fn settle(&mut self) {
        loop {
            let effects: Vec<Effects> =
                self.hosts.iter_mut().map(|host| host.take_effects(self.now)).collect();
            if effects.iter().all(Effects::is_empty) {
                return;
            }
            for (host, effects) in effects.into_iter().enumerate() {
                self.carry_out(host, effects);
            }
            self.remove_left_out();
        }
    }

    fn carry_out(&mut self, host: usize, effects: Effects) {
        self.replies.extend(effects.replies);
        if let Some(last) = effects.records.last() {
            self.hosts[host].step(self.now, Event::Persisted { sequence: last.sequence });
        }
        for work in effects.apply {
            let mut level = 1;
            let index = work.batches.last().expect("work is never empty").batch.last();
            for apply in work.batches {
                self.applied.extend(apply.waiting);
                match apply.batch.kind {
                    BatchKind::Configuration => {
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
            let event = Event::Applied { replica, index, feature_level: level };
            self.hosts[host].step(self.now, event);
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
            if gone && !self.cut.contains(&host) {
                let (request, key) = (self.request(), ReplicaKey { partition: 1, replica });
                self.hosts[host].step(self.now, Event::Remove { request, replica: key });
                self.replicas.remove(&host);
                self.removed.insert((host, replica));
            }
        }
    }

    /// Writes as a client does: to the leader, and again where nothing was done.
    fn write(&mut self) {
        loop {
            let Some(leader) = self.leader() else {
                self.turn();
                continue;
            };
            let request = self.request();
            let command = Bytes::from_static(b"");
            let event = Event::Write { request, partition: 1, command, deadline: NEVER };
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

    fn nodes(&self) -> Vec<usize> {
        self.map.voters.iter().map(|voter| voter.node.bits() as usize - 1).collect()
    }

    fn is_at_rest(&self) -> bool {
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

#[test]
fn a_partition_moves_to_other_nodes_and_no_write_fails() {
    let mut database = Database::ready();
    database.ask_for(goal(&[3, 4, 5]));
    for _ in 0..200 {
        database.write();
        database.turn();
    }
    assert!(database.is_at_rest(), "{:?}", database.map);
    assert_eq!(database.nodes(), [3, 4, 5]);
    assert_eq!(database.map.cluster, "b");
    assert_eq!(database.removed.len(), 3);
}

#[test]
fn a_goal_is_answered_once_it_is_committed() {
    let mut database = Database::ready();
    let request = database.ask_for(goal(&[3, 4, 5]));
    let reply = &database.replies[&request];
    let Ok(Reply::Goal(descriptor)) = reply else { panic!("{reply:?}") };
    assert_eq!(descriptor.goal, Some(goal(&[3, 4, 5])));
}

#[test]
fn a_move_ends_though_its_leader_is_cut_off_at_any_step() {
    for turns in 0..20 {
        let mut database = Database::ready();
        database.ask_for(goal(&[3, 4, 5]));
        (0..turns).for_each(|_| database.turn());
        database.cut = database.leader().into_iter().collect();
        database.pass(2 * SECOND);
        database.cut.clear();
        database.pass(10 * SECOND);
        assert!(database.is_at_rest(), "cut after {turns} turns: {:?}", database.map);
        assert_eq!(database.nodes(), [3, 4, 5], "cut after {turns} turns");
        database.write();
    }
}

#[test]
fn a_goal_that_is_replaced_at_any_moment_gives_way_to_the_next() {
    for turns in 0..20 {
        let mut database = Database::ready();
        database.ask_for(goal(&[3, 4, 5]));
        (0..turns).for_each(|_| database.turn());
        let back = Goal { cluster: "a".into(), ..goal(&[0, 1, 3]) };
        let request = database.ask_for(back);
        database.pass(10 * SECOND);
        let reply = database.replies.get(&request);
        let not_leader = matches!(reply, Some(Err(fault)) if fault.is_not_executed());
        let expected: &[usize] = if not_leader { &[3, 4, 5] } else { &[0, 1, 3] };
        assert!(database.is_at_rest(), "replaced after {turns} turns: {:?}", database.map);
        assert_eq!(database.nodes(), expected, "replaced after {turns} turns");
    }
}

#[test]
fn a_goal_given_up_leaves_the_members_as_they_were_or_as_they_were_about_to_be() {
    for turns in 0..20 {
        let mut database = Database::ready();
        database.ask_for(goal(&[3, 4, 5]));
        (0..turns).for_each(|_| database.turn());
        database.ask_for(Goal { nodes: vec![], cluster: String::new(), discarded: vec![] });
        database.pass(10 * SECOND);
        assert!(database.is_at_rest(), "given up after {turns} turns: {:?}", database.map);
        assert!([vec![0, 1, 2], vec![3, 4, 5]].contains(&database.nodes()));
        database.write();
    }
}

#[test]
fn a_discarded_replica_is_replaced_on_its_own_node_under_a_new_id() {
    let mut database = Database::ready();
    let replace = Goal { cluster: "a".into(), discarded: vec![3], ..goal(&[0, 1, 2]) };
    database.ask_for(replace);
    database.pass(5 * SECOND);
    assert!(database.is_at_rest(), "{:?}", database.map);
    let voters: Vec<u64> = database.map.voters.iter().map(|voter| voter.replica).collect();
    assert_eq!(voters, [1, 2, 4]);
    assert!(database.removed.contains(&(2, 3)));
}

#[test]
fn one_dead_learner_holds_the_move_up_and_costs_no_write() {
    let mut database = Database::ready();
    database.cut = BTreeSet::from([5]);
    database.ask_for(goal(&[3, 4, 5]));
    for _ in 0..50 {
        database.write();
        database.turn();
    }
    assert_eq!(database.nodes(), [0, 1, 2]);
    database.cut.clear();
    database.pass(5 * SECOND);
    assert_eq!(database.nodes(), [3, 4, 5]);
}

#[test]
fn a_node_without_the_replica_any_more_never_answers_for_it() {
    let mut database = Database::ready();
    database.ask_for(goal(&[3, 4, 5]));
    database.pass(5 * SECOND);
    database.sent.clear();
    // As a leader of old would ask that knows nothing of the move.
    let turn = votes::irresistible_vote_request();
    let now = database.now;
    database.hosts[0].step(now, Event::Turn { from: node(1), turn });
    database.pass(SECOND);
    assert_eq!(database.sent.get(&0), None);
}

#[test]
fn members_change_only_once_every_program_supports_it() {
    let mut database = Database::new();
    database.pass(2 * SECOND);
    let request = database.ask_for(goal(&[3, 4, 5]));
    let fault = database.replies[&request].as_ref().expect_err("level 1");
    assert!(fault.message.contains("feature level 1"), "{fault:?}");
    let supports = |number| Event::Supports { node: node(number), level: 2 };
    for host in 0..3 {
        (0..3).for_each(|other| database.hosts[host].step(database.now, supports(other)));
    }
    database.pass(2 * SECOND);
    let request = database.ask_for(goal(&[3, 4, 5]));
    assert!(database.replies[&request].is_ok());
}
