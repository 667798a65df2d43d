//! Hosts with many partitions of which most are idle: three hosts, a network that can be cut, logs
//! that are durable at once.

#[path = "support/three_nodes.rs"]
mod three_nodes;

use bytes::Bytes;
use doug_node::host::{Effects, Event, Host, HostConfig, ReadKind, RestoredReplica};
use doug_node::work::{RequestId, Sequence, encode_command};
use doug_proto::v1;
use doug_raft::{Batch, BatchTime, Clock, ReplicaId, Role, Stamp, Term, Time, UnquiesceCause};
use doug_storage::ReplicaKey;
use doug_storage::log::Record;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use three_nodes::{MILLISECOND, NEVER, SECOND, descriptor, node};

/// What passed between the hosts.
#[derive(Default)]
struct Seen {
    /// Messages and heartbeats of partitions.
    messages: usize,
    node_heartbeats: usize,
    ready: Vec<RequestId>,
    applied: Vec<RequestId>,
    unquiesces: BTreeMap<UnquiesceCause, u64>,
    campaigns_at_once: usize,
    /// Commands that end keys, applied by each replica.
    expiries: usize,
}

/// What one replica's log holds.
#[derive(Clone, Default)]
struct Log {
    term: Term,
    vote: Option<ReplicaId>,
    batches: Vec<Batch>,
}

impl Log {
    fn append(&mut self, record: &Record) {
        match record {
            Record::Batch { base, data, .. } => {
                self.batches.retain(|held| held.base < *base);
                self.batches.push(Batch::decode(data.clone()).expect("a host has encoded it"));
            }
            Record::HardState { term, vote, .. } => {
                (self.term, self.vote) = (*term, vote.map(ReplicaId));
            }
            Record::Reset { .. } => unreachable!("nobody sends snapshots here"),
        }
    }
}

/// Hosts 0 to 2 on nodes 1 to 3; the leaders of their partitions are spread.
struct Trio {
    hosts: Vec<Option<Host>>,
    partitions: u64,
    processes: u64,
    now: Time,
    cut: BTreeSet<usize>,
    seen: Seen,
    persisted: Vec<(usize, Sequence)>,
    /// By host and partition.
    logs: BTreeMap<(usize, u64), Log>,
    /// What all wall clocks show.
    wall: Clock,
    /// When a key of partition 1 is due, until a command ends it.
    due: Option<Clock>,
}

impl Trio {
    fn with(partitions: u64, quiesce_after: [Option<Duration>; 3]) -> Self {
        let mut trio = Self {
            hosts: vec![None, None, None],
            partitions,
            processes: 0,
            now: Time(0).after(SECOND),
            cut: BTreeSet::new(),
            seen: Seen::default(),
            persisted: Vec::new(),
            logs: BTreeMap::new(),
            wall: Clock(0),
            due: None,
        };
        for (host, quiesce_after) in quiesce_after.into_iter().enumerate() {
            trio.boot(host, quiesce_after);
        }
        trio.settle();
        trio.pass(SECOND);
        trio
    }

    /// All quiesced.
    fn quiesced(partitions: u64) -> Self {
        let mut trio = Self::with(partitions, [Some(SECOND); 3]);
        trio.pass(2 * SECOND);
        assert_eq!(trio.quiesced_replicas(), [partitions as usize; 3]);
        trio.seen = Seen::default();
        trio
    }

    /// Starts a process from what the last one wrote.
    fn start(&mut self, host: usize, quiesce_after: Option<Duration>) {
        self.boot(host, quiesce_after);
        self.settle();
    }

    fn boot(&mut self, host: usize, quiesce_after: Option<Duration>) {
        self.processes += 1;
        let incarnation = self.processes;
        let mut started =
            Host::new(HostConfig { quiesce_after, incarnation, ..HostConfig::new(node(host)) });
        for partition in 1..=self.partitions {
            let replica = ReplicaKey { partition, replica: host as u64 + 1 };
            let (descriptor, seed) = (descriptor(partition), partition * 10 + incarnation);
            let Some(Log { term, vote, batches }) = self.logs.get(&(host, partition)).cloned()
            else {
                let descriptor = Box::new(descriptor);
                started.step(self.now, Event::Create { replica, descriptor, seed });
                continue;
            };
            let (applied, commit, feature_level) = ((0, 0), 0, 1);
            let found = RestoredReplica {
                replica,
                descriptor,
                term,
                vote,
                applied,
                applied_time: BatchTime::default(),
                commit,
                feature_level,
                batches,
                ambiguous_tail: false,
                seed,
            };
            started.restore(self.now, found);
        }
        self.hosts[host] = Some(started);
    }

    fn host(&mut self, host: usize) -> &mut Host {
        self.hosts[host].as_mut().expect("it runs")
    }

    fn quiesced_replicas(&self) -> [usize; 3] {
        [0, 1, 2].map(|host| self.hosts[host].as_ref().map_or(0, Host::quiesced))
    }

    fn leaderships(&self) -> [usize; 3] {
        [0, 1, 2].map(|host| self.hosts[host].as_ref().map_or(0, Host::leaderships))
    }

    fn tell(&mut self, host: usize, event: Event) {
        let now = self.now;
        self.host(host).step(now, event);
        self.settle();
    }

    fn pass(&mut self, duration: Duration) {
        let end = self.now.after(duration);
        while self.now < end {
            self.now = self.now.after(10 * MILLISECOND);
            let (now, wall) = (self.now, self.wall);
            self.hosts.iter_mut().flatten().for_each(|host| host.step(now, Event::Tick { wall }));
            self.settle();
        }
    }

    /// Until nobody has anything to do at this moment: a network and disks without delay.
    fn settle(&mut self) {
        loop {
            let now = self.now;
            let take = |host: &mut Option<Host>| {
                host.as_mut().map_or_else(Effects::default, |host| host.take_effects(now))
            };
            let effects: Vec<Effects> = self.hosts.iter_mut().map(take).collect();
            self.count_campaigns();
            if effects.iter().all(Effects::is_empty) {
                return;
            }
            for (host, effects) in effects.into_iter().enumerate() {
                self.carry_out(host, effects);
            }
            for (host, sequence) in std::mem::take(&mut self.persisted) {
                self.host(host).step(now, Event::Persisted { upto: sequence, passed: Vec::new() });
            }
        }
    }

    fn count_campaigns(&mut self) {
        for host in self.hosts.iter().flatten() {
            let campaigns = (1..=self.partitions).filter(|partition| {
                let role = host.raft(*partition).map(doug_raft::Raft::role);
                matches!(role, Some(Role::PreCandidate | Role::Candidate))
            });
            self.seen.campaigns_at_once = self.seen.campaigns_at_once.max(campaigns.count());
        }
    }

    fn carry_out(&mut self, host: usize, effects: Effects) {
        let now = self.now;
        self.seen.ready.extend(effects.ready.iter().map(|ready| ready.request));
        for (cause, count) in effects.unquiesces {
            *self.seen.unquiesces.entry(cause).or_default() += count;
        }
        for (_, record) in &effects.records {
            self.logs.entry((host, record.replica().partition)).or_default().append(record);
        }
        if let Some((sequence, _)) = effects.records.last() {
            self.persisted.push((host, *sequence));
        }
        for work in effects.apply {
            let (replica, last) = (work.replica, work.batches.last().expect("never empty"));
            let index = last.batch.last();
            let commands = work.batches.iter().flat_map(|applied| applied.batch.commands());
            let expiries = commands.filter(|command| *command == expire()).count();
            self.seen.expiries += expiries;
            let next_expiry = self.due.filter(|_| replica.partition == 1 && expiries == 0);
            self.seen.applied.extend(work.batches.into_iter().flat_map(|b| b.waiting));
            let applied =
                Event::Applied { replica, index, feature_level: 2, wanted: None, next_expiry };
            self.host(host).step(now, applied);
        }
        for (to, turn) in effects.turns {
            let to = to.bits() as usize - 1;
            self.seen.messages +=
                turn.messages.len() + turn.heartbeats.len() + turn.heartbeat_answers.len();
            self.seen.node_heartbeats += turn.node_heartbeats.len();
            if self.cut.contains(&host) || self.cut.contains(&to) {
                continue;
            }
            if let Some(receiver) = &mut self.hosts[to] {
                receiver.step(now, Event::Turn { from: node(host), turn });
            }
        }
    }

    fn write(&mut self, host: usize, request: u64, partition: u64) {
        let (request, command) = (RequestId(request), Bytes::from_static(b"command"));
        self.tell(
            host,
            Event::Write { request, partition, command, seen: Stamp(0), deadline: NEVER },
        );
    }

    fn read(&mut self, host: usize, request: u64, partition: u64, kind: ReadKind) {
        let request = RequestId(request);
        self.tell(host, Event::Read { request, partition, kind, deadline: NEVER });
    }
}

#[test]
fn idle_partitions_quiesce_and_only_the_nodes_go_on_speaking() {
    let mut trio = Trio::quiesced(30);
    trio.pass(10 * SECOND);
    assert_eq!(trio.seen.messages, 0, "not one for a partition");
    assert_eq!(trio.seen.node_heartbeats, 3 * 2 * 200, "one a pair, each way, every 50 ms");
    assert_eq!(trio.leaderships(), [10, 10, 10]);
    assert!(trio.host(0).caught_up());
}

#[test]
fn a_write_unquiesces_its_partition_and_no_other() {
    let mut trio = Trio::quiesced(30);
    trio.write(0, 1, 1);
    assert_eq!(trio.seen.applied, [RequestId(1)]);
    assert_eq!(trio.quiesced_replicas(), [29, 29, 29]);
    trio.pass(2 * SECOND);
    assert_eq!(trio.quiesced_replicas(), [30, 30, 30], "and it is quiesced again");
}

fn expire() -> Bytes {
    let expire = v1::command::Command::Expire(v1::ExpireCommand {});
    encode_command(&v1::Command { command: Some(expire) })
}

#[test]
fn a_quiesced_partition_unquiesces_for_a_key_that_is_due_and_not_before() {
    let mut trio = Trio::quiesced(3);
    (trio.wall, trio.due) = (Clock(1_000), Some(Clock(9_000)));
    trio.write(0, 1, 1);
    trio.pass(3 * SECOND);
    assert_eq!(trio.quiesced_replicas(), [3, 3, 3]);
    assert_eq!(trio.seen.expiries, 0);
    trio.wall = Clock(9_000);
    trio.pass(100 * MILLISECOND);
    assert_eq!(trio.seen.expiries, 3, "one command, at each replica");
    assert_eq!(trio.quiesced_replicas(), [2, 2, 2]);
    trio.pass(3 * SECOND);
    assert_eq!((trio.seen.expiries, trio.quiesced_replicas()), (3, [3, 3, 3]));
}

#[test]
fn a_linearizable_read_of_a_quiesced_partition_is_proven_by_a_round() {
    let mut trio = Trio::quiesced(3);
    trio.read(0, 1, 1, ReadKind::Linearizable);
    assert_eq!(trio.seen.ready, [RequestId(1)]);
    assert!(trio.seen.messages >= 4, "heartbeats and their answers");
    trio.pass(2 * SECOND);
    trio.cut = BTreeSet::from([0]);
    trio.read(0, 2, 1, ReadKind::Linearizable);
    assert_eq!(trio.seen.ready, [RequestId(1)], "nobody proves it");
}

#[test]
fn a_bounded_read_at_a_quiesced_follower_asks_its_leader() {
    let mut trio = Trio::quiesced(3);
    trio.read(1, 1, 1, ReadKind::Bounded { max_lag: SECOND });
    assert_eq!(trio.seen.ready, [RequestId(1)]);
    assert_eq!(trio.quiesced_replicas(), [2, 2, 2]);
}

#[test]
fn a_node_that_does_not_speak_for_quiesced_partitions_keeps_its_partitions_active() {
    let mut trio = Trio::with(3, [Some(SECOND), Some(SECOND), None]);
    trio.pass(5 * SECOND);
    assert_eq!(trio.quiesced_replicas(), [0, 0, 0]);
}

#[test]
fn when_a_node_dies_all_its_quiesced_partitions_get_leaders_a_bounded_number_at_once() {
    let mut trio = Trio::quiesced(600);
    trio.hosts[0] = None;
    trio.pass(SECOND);
    assert_eq!(trio.leaderships().iter().sum::<usize>(), 600);
    assert!(trio.seen.campaigns_at_once <= 64, "{} at once", trio.seen.campaigns_at_once);
    assert_eq!(
        trio.seen.unquiesces.get(&UnquiesceCause::Silence).copied(),
        Some(400),
        "two voters of 200"
    );
    assert_eq!(trio.quiesced_replicas().iter().sum::<usize>(), 800, "the others stay quiesced");
}

#[test]
fn a_quiesced_leader_without_a_quorum_unquiesces_and_steps_down() {
    let mut trio = Trio::quiesced(3);
    trio.cut = BTreeSet::from([1, 2]);
    trio.pass(2 * SECOND);
    assert_eq!(trio.leaderships()[0], 0);
}

#[test]
fn a_node_that_starts_again_at_once_finds_its_partitions_led() {
    let mut trio = Trio::quiesced(30);
    trio.start(1, Some(SECOND));
    trio.pass(100 * MILLISECOND);
    assert!(
        trio.quiesced_replicas()[0] <= 10,
        "those that have nothing to do with it: none but led by 3"
    );
    trio.pass(SECOND);
    assert_eq!(trio.leaderships().iter().sum::<usize>(), 30);
    assert!(trio.host(1).caught_up(), "each has heard its leader");
}

#[test]
fn a_hello_of_another_process_unquiesces_those_quiesced_under_the_old_one() {
    let mut trio = Trio::quiesced(3);
    trio.tell(1, Event::Hello { node: node(0), incarnation: 1 });
    assert_eq!(trio.quiesced_replicas(), [3, 3, 3], "that is the one known");
    trio.tell(1, Event::Hello { node: node(0), incarnation: 99 });
    assert!(trio.quiesced_replicas()[1] < 3);
}

#[test]
fn a_replica_that_is_removed_while_quiesced_leaves_nobody_quiesced_under_it() {
    let mut trio = Trio::quiesced(3);
    let replica = ReplicaKey { partition: 1, replica: 1 };
    trio.tell(0, Event::Remove { request: RequestId(9), replica });
    trio.pass(SECOND);
    let led = |host: usize, trio: &Trio| {
        trio.hosts[host].as_ref().and_then(|h| h.raft(1)).map(doug_raft::Raft::role)
    };
    let roles = [led(1, &trio), led(2, &trio)];
    assert!(roles.contains(&Some(Role::Leader)), "{roles:?}");
}

#[test]
fn a_quiesce_proposal_and_word_of_another_process_heard_in_one_turn_quiesce_nobody() {
    let mut trio = Trio::with(1, [Some(60 * SECOND); 3]);
    let now = trio.now;
    let raft = trio.hosts[1].as_ref().and_then(|host| host.raft(1)).expect("it is there");
    let (term, commit) = (raft.term(), raft.commit());
    let proposal = v1::RaftMessage {
        partition: 1,
        from_replica: 1,
        to_replica: 2,
        term,
        message: Some(v1::raft_message::Message::Quiesce(v1::Quiesce {
            commit,
            round: 1_000_000,
            incarnation: 1,
            epoch: 0,
        })),
    };
    let proposal = v1::PeerTurn { messages: vec![proposal], ..v1::PeerTurn::default() };
    // It let go of a replica after it had proposed that, perhaps of this very one.
    let word = v1::NodeHeartbeat { incarnation: 1, epoch: 1, host: 0, hosts: 1 };
    let word = v1::PeerTurn { node_heartbeats: vec![word], ..v1::PeerTurn::default() };
    for turn in [proposal, word] {
        trio.host(1).step(now, Event::Turn { from: node(0), turn });
    }
    trio.settle();
    assert_eq!(
        trio.seen.unquiesces.get(&UnquiesceCause::Restart),
        Some(&1),
        "it quiesced, and not for long"
    );
    assert_eq!(trio.quiesced_replicas()[1], 0);
}

#[test]
fn a_goal_of_members_or_a_hand_over_unquiesces_its_partition() {
    let mut trio = Trio::quiesced(3);
    let to = Some(node(2));
    let (request, deadline) = (RequestId(1), NEVER);
    trio.tell(0, Event::Transfer { request, partition: 1, to, deadline });
    trio.pass(100 * MILLISECOND);
    assert_eq!(trio.leaderships(), [0, 1, 2]);
}

#[test]
fn the_state_of_a_quiesced_partition_says_which_of_its_nodes_live() {
    let mut trio = Trio::quiesced(3);
    trio.hosts[2] = None;
    trio.pass(SECOND);
    let now = trio.now;
    let status = trio.host(0).status(now);
    let led = status.iter().find(|replica| replica.partition == 1).expect("it is held here");
    assert!(led.quiesced && led.role == i32::from(v1::ReplicaRole::Leader), "{led:?}");
    let active: Vec<_> = led.peers.iter().map(|peer| peer.active).collect();
    assert_eq!(active, [true, false]);
}
