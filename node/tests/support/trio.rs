//! Three hosts that share partitions: a network that can be cut, and logs that are durable at once.
#![allow(dead_code)] // each test file uses its part

use super::three_nodes::{MILLISECOND, NEVER, SECOND, descriptor, node, take_effects};
use bytes::Bytes;
use doug_node::host::{Effects, Event, Fetch, Host, HostConfig, ReadKind, ReadyRead, Reply};
use doug_node::work::{ApplyWork, RequestId, Sequence};
use doug_proto::error::Fault;
use doug_proto::v1::raft_message::Message;
use doug_raft::{Batch, BatchTime, Clock, Stamp, Time};
use doug_storage::ReplicaKey;
use doug_storage::log::Record;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// In milliseconds since 1970.
pub const MIDNIGHT: u64 = 1_767_225_600_000;
pub const HOUR: u64 = 3_600_000;

/// Bytes that may wait for the log.
pub const BACKLOG: u64 = 1 << 20;

/// Bytes without a majority that the log can bear.
pub const BEARABLE: u64 = 24 << 20;

/// Bytes of durable batches that stay in memory.
pub const PAYLOADS: u64 = 1 << 20;

fn config(host: usize) -> HostConfig {
    HostConfig {
        log_backlog_bytes: BACKLOG,
        uncommitted_log_bytes: BEARABLE,
        payload_cache_bytes: PAYLOADS,
        ..HostConfig::new(node(host))
    }
}

#[derive(Default)]
pub struct Seen {
    pub replies: BTreeMap<RequestId, Result<Reply, Fault>>,
    pub ready: Vec<ReadyRead>,
    pub applied: Vec<RequestId>,
    /// Turns sent: sender, receiver, how many heartbeats.
    pub turns: Vec<(usize, usize, usize)>,
    pub hand_overs_lost: usize,
}

/// Hosts 0 to 2 on nodes 1 to 3.
pub struct Trio {
    pub hosts: Vec<Host>,
    pub now: Time,
    pub cut: BTreeSet<usize>,
    pub seen: Seen,
    /// Batches reach the log, but are not reported durable.
    pub stalled: BTreeSet<usize>,
    /// What is given out to be applied never is.
    pub applies_nothing: bool,
    /// Whether the network loses "campaign now".
    pub loses_hand_overs: bool,
    /// The last record each host has handed to its log.
    pub logged: [Sequence; 3],
    /// The batches in each host's log, of all its replicas.
    pub batches: [Vec<(ReplicaKey, Batch)>; 3],
}

impl Trio {
    /// Partitions 1 to `partitions`; the first voter of each leads.
    pub fn with_partitions(partitions: u64) -> Self {
        let hosts = (0..3).map(|i| Host::new(config(i))).collect();
        let (cut, stalled) = (BTreeSet::new(), BTreeSet::new());
        let (seen, logged) = (Seen::default(), [Sequence(0); 3]);
        let (now, applies_nothing, loses_hand_overs) = (Time(0).after(SECOND), false, false);
        let mut trio = Self {
            hosts,
            now,
            cut,
            seen,
            stalled,
            applies_nothing,
            loses_hand_overs,
            logged,
            batches: Default::default(),
        };
        for partition in 1..=partitions {
            for host in 0..3 {
                let replica = ReplicaKey { partition, replica: host as u64 + 1 };
                let seed = partition * 10 + host as u64;
                let descriptor = Box::new(descriptor(partition));
                trio.hosts[host].step(trio.now, Event::Create { replica, descriptor, seed });
            }
        }
        trio.settle();
        trio.pass(SECOND);
        trio
    }

    pub fn new() -> Self {
        let mut trio = Self::with_partitions(1);
        assert_eq!(trio.leaders(), [0], "the preferred voter leads");
        trio.seen = Seen::default();
        trio
    }

    pub fn leaders(&self) -> Vec<usize> {
        (0..3).filter(|i| self.hosts[*i].leaderships() > 0).collect()
    }

    /// Tells one host something and lets all consequences happen.
    pub fn tell(&mut self, host: usize, event: Event) {
        self.hosts[host].step(self.now, event);
        self.settle();
    }

    /// Lets time pass.
    pub fn pass(&mut self, duration: Duration) {
        let end = self.now.after(duration);
        while self.now < end {
            self.now = self.now.after(10 * MILLISECOND);
            for host in 0..3 {
                let wall = self.wall(host);
                self.hosts[host].step(self.now, Event::Tick { wall });
            }
            self.settle();
        }
    }

    /// The wall clocks begin at midnight, and that of host 0 an hour later.
    pub fn wall(&self, host: usize) -> Clock {
        let hour = if host == 0 { HOUR } else { 0 };
        Clock(MIDNIGHT + hour + self.now.since(Time(0)).as_millis() as u64)
    }

    pub fn settle(&mut self) {
        loop {
            let Some(effects) = take_effects(&mut self.hosts, self.now) else { return };
            for (host, effects) in effects.into_iter().enumerate() {
                self.carry_out(host, effects);
            }
        }
    }

    pub fn carry_out(&mut self, host: usize, effects: Effects) {
        self.seen.replies.extend(effects.replies);
        self.seen.ready.extend(effects.ready);
        for (_, record) in &effects.records {
            if let Record::Batch { replica, data, .. } = record {
                let batch = Batch::decode(data.clone()).expect("the host made it");
                self.batches[host].push((*replica, batch));
            }
        }
        for Fetch { replica, from, to } in effects.fetch {
            let mut batches: BTreeMap<u64, Batch> = BTreeMap::new();
            let wanted = |(key, batch): &&(ReplicaKey, Batch)| {
                *key == replica && (from..=to).contains(&batch.base)
            };
            batches
                .extend(self.batches[host].iter().filter(wanted).map(|(_, b)| (b.base, b.clone())));
            let batches = batches.into_values().collect();
            self.hosts[host].step(self.now, Event::Fetched { replica, batches });
        }
        if let Some((sequence, _)) = effects.records.last() {
            self.logged[host] = *sequence;
            if !self.stalled.contains(&host) {
                self.persisted(host);
            }
        }
        for work in effects.apply {
            let replica = work.replica;
            let index = last_index(&work);
            self.seen.applied.extend(work.batches.into_iter().flat_map(|b| b.waiting));
            if !self.applies_nothing {
                let (feature_level, wanted, next_expiry) = (1, None, None);
                let event = Event::Applied { replica, index, feature_level, wanted, next_expiry };
                self.hosts[host].step(self.now, event);
            }
        }
        for (to, mut turn) in effects.turns {
            if self.loses_hand_overs {
                let sent = turn.messages.len();
                turn.messages.retain(|m| !matches!(m.message, Some(Message::TimeoutNow(_))));
                self.seen.hand_overs_lost += sent - turn.messages.len();
            }
            let receiver = to.bits() as usize - 1;
            self.seen.turns.push((host, receiver, turn.heartbeats.len()));
            if !self.cut.contains(&host) && !self.cut.contains(&receiver) {
                self.hosts[receiver].step(self.now, Event::Turn { from: node(host), turn });
            }
        }
    }

    pub fn persisted(&mut self, host: usize) {
        self.hosts[host]
            .step(self.now, Event::Persisted { upto: self.logged[host], passed: Vec::new() });
    }

    pub fn write(&mut self, host: usize, request: u64, deadline: Time) {
        self.write_after(host, request, Stamp(0), deadline);
    }

    pub fn write_after(&mut self, host: usize, request: u64, seen: Stamp, deadline: Time) {
        let (request, command) = (RequestId(request), Bytes::from_static(b"command"));
        self.tell(host, Event::Write { request, partition: 1, command, seen, deadline });
    }

    /// Clock and stamp of the last batch of a host's log.
    pub fn last_time(&self, host: usize) -> BatchTime {
        self.hosts[host].raft(1).expect("it holds a replica").last_time()
    }

    pub fn read(&mut self, host: usize, request: u64, kind: ReadKind) {
        let request = RequestId(request);
        self.tell(host, Event::Read { request, partition: 1, kind, deadline: NEVER });
    }

    pub fn fault(&self, request: u64) -> &Fault {
        self.seen.replies[&RequestId(request)].as_ref().expect_err("an error")
    }

    pub fn is_ready(&self, request: u64) -> bool {
        self.seen.ready.iter().any(|ready| ready.request == RequestId(request))
    }
}

fn last_index(work: &ApplyWork) -> u64 {
    work.batches.last().expect("work is never empty").batch.last()
}
