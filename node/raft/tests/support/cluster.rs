//! A whole group on a simulated network and simulated disks, driven by one seed.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use doug_raft::{
    Batch, ChangeError, Clock as WallClock, Config, Configuration, Effect, Index, LivenessEpoch,
    Membership, Message, NodeLiveness, ProposeError, Proposed, Raft, ReadId, Role, Stamp, Term,
    Ticket, Time,
};

use super::check::Checker;
use super::disk::{Disk, Machine};
use super::quiesce::{SILENCE, liveness_of};
use super::story::Story;
use super::{MILLISECOND, config, describe, id, voters};

/// A small generator of the tests' own: theirs must not shift when the core draws one number more.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x9e37_79b9_7f4a_7c15)
    }

    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        low + (mixed ^ (mixed >> 29)) % (high - low + 1)
    }

    pub fn percent(&mut self, chance: u64) -> bool {
        self.between(1, 100) <= chance
    }
}

/// Pause between two node heartbeats.
const NODE_HEARTBEAT: u64 = 50 * MILLISECOND;

/// How badly network and disks behave. Durations in microseconds.
#[derive(Clone, Debug)]
pub struct Weather {
    pub latency: (u64, u64),
    pub sync: (u64, u64),
    pub loss_percent: u64,
    pub duplicate_percent: u64,
    /// Messages that turn up when nobody expects them any more, up to a second later.
    pub stray_percent: u64,
    /// Ordered pairs between which nothing passes.
    pub cut: BTreeSet<(u64, u64)>,
}

impl Weather {
    /// A millisecond each way, half a millisecond to the disk, and nothing goes wrong.
    pub fn fair() -> Weather {
        Weather {
            latency: (MILLISECOND, MILLISECOND),
            sync: (500, 500),
            loss_percent: 0,
            duplicate_percent: 0,
            stray_percent: 0,
            cut: BTreeSet::new(),
        }
    }
}

#[derive(Clone)]
enum Event {
    Tick,
    Deliver {
        from: u64,
        message: Message,
    },
    /// The node checks its peers' liveness, and sends node heartbeats.
    Look {
        process: u64,
    },
    NodeHeartbeat {
        from: u64,
        liveness: LivenessEpoch,
    },
    Persisted {
        process: u64,
        ticket: Ticket,
    },
    Fetched {
        process: u64,
        batches: Vec<Batch>,
    },
    Snapshot {
        from: u64,
        machine: Machine,
        term: Term,
    },
    SnapshotSent {
        to: u64,
        ok: bool,
        index: Index,
    },
}

pub struct Node {
    /// `None` while it is down.
    pub raft: Option<Raft>,
    pub disk: Disk,
    pub machine: Machine,
    config: Config,
    clock: Clock,
    pub(super) process: u64,
    pub(super) liveness: NodeLiveness<u64>,
    disk_busy_until: Time,
    tick_at: Time,
    reads: BTreeMap<ReadId, Index>,
    pub reads_ready: BTreeMap<ReadId, Index>,
    pub reads_aborted: BTreeSet<ReadId>,
}

/// A machine's own idea of time, which its core is told.
#[derive(Clone, Copy, Default)]
pub struct Clock {
    pub offset: u64,
    /// By how much it runs fast, in millionths.
    pub fast_ppm: u64,
}

impl Clock {
    fn local(self, now: Time) -> Time {
        Time(self.offset + now.0 + now.0 * self.fast_ppm / 1_000_000)
    }

    /// The first moment at which it shows `local` or more.
    fn when(self, local: Time) -> Time {
        let elapsed = u128::from(local.0.saturating_sub(self.offset));
        Time((elapsed * 1_000_000).div_ceil(u128::from(1_000_000 + self.fast_ppm)) as u64)
    }
}

pub struct Cluster {
    pub now: Time,
    pub nodes: BTreeMap<u64, Node>,
    pub weather: Weather,
    pub dice: Dice,
    pub story: Story,
    pub checker: Checker,
    /// What the cores asked for, and how often.
    pub counts: BTreeMap<&'static str, u64>,
    pub changes_members: bool,
    /// How long a leader is idle before it proposes to quiesce; `None`: it never does.
    pub quiesce_after: Option<u64>,
    /// Ticks come only so often, in microseconds, and nodes take each for the end of a pause.
    pub ticks_late_by: Option<u64>,
    /// Crashes leave ambiguous tails, and now and then something durable is lost with one.
    pub tails_suffer: bool,
    drift_ppm: u64,
    /// Of wall clocks and tokens alone.
    clock_dice: Dice,
    /// Of what crashes do to the ends of logs alone.
    pub tail_dice: Dice,
    last_number: u64,
    events: BTreeMap<(Time, u64), (u64, Event)>,
    sequence: u64,
    next_read: u64,
}

/// An hour, in milliseconds.
const HOUR: u64 = 3_600_000;

/// What a good wall clock shows.
fn wall(now: Time) -> u64 {
    10 * HOUR + now.0 / MILLISECOND
}

impl Cluster {
    pub fn new(
        configuration: Configuration,
        seed: u64,
        configure: impl Fn(&mut Config),
    ) -> Cluster {
        let disks = configuration
            .members()
            .iter()
            .map(|id| (id.0, Disk::new(configuration.clone())))
            .collect();
        Cluster::with_disks(disks, seed, configure)
    }

    pub fn with_disks(
        disks: BTreeMap<u64, Disk>,
        seed: u64,
        configure: impl Fn(&mut Config),
    ) -> Cluster {
        let mut cluster = Cluster {
            now: Time(0),
            nodes: BTreeMap::new(),
            weather: Weather::fair(),
            dice: Dice::new(seed),
            story: Story::default(),
            checker: Checker::starting_with(&disks),
            counts: BTreeMap::new(),
            changes_members: false,
            quiesce_after: None,
            ticks_late_by: None,
            tails_suffer: false,
            drift_ppm: 0,
            clock_dice: Dice::new(seed ^ 0xc10c),
            tail_dice: Dice::new(seed ^ 0x7a11),
            last_number: disks.keys().next_back().copied().unwrap_or(0),
            events: BTreeMap::new(),
            sequence: 0,
            next_read: 0,
        };
        for (number, disk) in disks {
            let mut config = config(number);
            config.seed = seed;
            configure(&mut config);
            cluster.nodes.insert(number, Node::down(config, disk));
            cluster.start(number);
        }
        cluster
    }

    /// Adds a node that has never held anything and is told nothing about the group, under a new
    /// id.
    pub fn join_next(&mut self) -> u64 {
        self.last_number += 1;
        let number = self.last_number;
        let mut config = self.nodes.values().next().expect("a node of the cluster").config.clone();
        config.id = id(number);
        self.nodes.insert(number, Node::down(config, Disk::new(voters([]))));
        self.start(number);
        number
    }

    /// The node and all it held are gone for good.
    pub fn destroy(&mut self, number: u64) {
        self.story.tell(self.now, format!("{number} is destroyed"));
        self.nodes.remove(&number);
    }

    /// Starts a process on what its disk holds.
    pub fn start(&mut self, number: u64) {
        let (now, clock) = (self.now, self.draw_clock());
        let node = self.node(number);
        assert!(node.raft.is_none(), "{number} runs already");
        let (restored, machine) = node.disk.restart();
        node.process += 1;
        node.clock = clock;
        node.config.seed = node.config.seed.wrapping_add(1);
        node.machine = machine;
        node.disk_busy_until = now;
        node.tick_at = now;
        node.raft = Some(Raft::new(node.config.clone(), restored, node.clock.local(now)));
        node.liveness = NodeLiveness::new(SILENCE);
        self.begin_to_look(number);
        self.checker.restarted(id(number));
        self.settle(number);
    }

    /// Every clock runs fast by some part of this, from now on and after every start.
    pub fn let_clocks_drift(&mut self, most_ppm: u64) {
        self.drift_ppm = most_ppm;
        for node in self.nodes.values_mut() {
            node.clock.fast_ppm = self.dice.between(0, most_ppm);
        }
    }

    /// Another process, another clock: they tell nothing about each other.
    fn draw_clock(&mut self) -> Clock {
        match self.drift_ppm {
            0 => Clock::default(),
            most => Clock {
                offset: self.dice.between(0, 1_000_000),
                fast_ppm: self.dice.between(0, most),
            },
        }
    }

    /// The process ends; of the records being written, the first `kept` reach the disk.
    pub fn crash(&mut self, number: u64, kept: usize) {
        self.story.tell(self.now, format!("{number} crashes"));
        let node = self.node(number);
        let torn = kept < node.disk.pending();
        node.raft = None;
        node.disk.crash(kept);
        node.reads.clear();
        if self.tails_suffer {
            let lost = self.tail_dice.percent(30) && self.lose_tail(number);
            self.node(number).disk.ambiguous |= torn && !lost && self.tail_dice.percent(50);
        }
    }

    /// Of a node that is down, the last record of the log cannot be read any more. Of one disk at a
    /// time, and never of one that decides alone: what is lost must be somewhere else.
    pub fn lose_tail(&mut self, number: u64) -> bool {
        let bearable = self.nodes.values().all(|node| {
            let Configuration { voters, outgoing, .. } = node.disk.latest_configuration();
            !node.disk.has_lost() && voters.len() != 1 && outgoing.len() != 1
        });
        let lost = bearable && self.node(number).disk.lose_tail();
        if lost {
            self.story.tell(self.now, format!("{number} loses the end of its log"));
            *self.counts.entry("tails lost").or_default() += 1;
        }
        lost
    }

    pub fn node(&mut self, number: u64) -> &mut Node {
        self.nodes.get_mut(&number).expect("a node of the cluster")
    }

    pub fn raft(&self, number: u64) -> &Raft {
        self.nodes[&number].raft.as_ref().expect("a running node")
    }

    /// Calls into a node's core, then does what it asks.
    pub fn with<T>(&mut self, number: u64, call: impl FnOnce(&mut Raft, Time) -> T) -> T {
        let now = self.now;
        let node = self.node(number);
        let local = node.clock.local(now);
        let result = call(node.raft.as_mut().expect("a running node"), local);
        self.settle(number);
        result
    }

    pub fn running(&self) -> Vec<u64> {
        self.nodes
            .iter()
            .filter(|(_, node)| node.raft.is_some())
            .map(|(&number, _)| number)
            .collect()
    }

    /// The running leader of the latest term.
    pub fn leader(&self) -> Option<u64> {
        let leads = |&number: &u64| self.raft(number).role() == Role::Leader;
        self.running().into_iter().filter(leads).max_by_key(|&number| self.raft(number).term())
    }

    pub fn propose(&mut self, number: u64, commands: &[Bytes]) -> Result<Proposed, ProposeError> {
        let list: Vec<_> =
            commands.iter().map(|command| String::from_utf8_lossy(command)).collect();
        self.story.tell(self.now, format!("{number} is given {}", list.join(", ")));
        let (truth, mad, seen) = self.draw_clocks();
        let proposed = self.with(number, |raft, now| {
            raft.observe_clocks(now, |id| WallClock(if id.0 == 1 { mad } else { truth }));
            raft.propose_after(now, seen, commands)
        });
        if let Ok(at) = &proposed {
            self.checker.proposed(*at, seen);
        }
        proposed
    }

    /// What the good wall clocks show, what the mad one does, and the stamp that a request has
    /// seen: of another partition, which may be ahead.
    fn draw_clocks(&mut self) -> (u64, u64, Stamp) {
        let truth = wall(self.now);
        let mad = match self.clock_dice.between(0, 3) {
            0 => truth + HOUR,
            1 => truth - HOUR,
            2 => HOUR,
            _ => 0,
        };
        let ahead = if self.clock_dice.percent(30) { self.clock_dice.between(0, 3_000) } else { 0 };
        (truth, mad, Stamp::first_of(WallClock(truth - 1_500 + ahead)))
    }

    pub fn change(&mut self, number: u64, to: Configuration) -> Result<Proposed, ChangeError> {
        self.story.tell(self.now, format!("{number} is asked for {}", describe(&to)));
        let raft = self.raft(number);
        let settled = raft.term_at(raft.commit()) == Some(raft.term());
        let changed =
            self.with(number, |raft, now| raft.propose_membership(now, Membership::of(to)));
        assert!(
            settled || changed.is_err(),
            "{number} changed members before an entry of its term was committed"
        );
        changed
    }

    /// Begins `count` reads at once; their index must reach everything committed by now.
    pub fn read(&mut self, number: u64, count: u64) -> Vec<ReadId> {
        let reads: Vec<ReadId> = (1..=count).map(|n| ReadId(self.next_read + n)).collect();
        self.next_read += count;
        self.story.tell(self.now, format!("{number} is asked for {count} read indexes"));
        let floor = self.checker.greatest_commit();
        self.node(number).reads.extend(reads.iter().map(|&read| (read, floor)));
        self.with(number, |raft, now| reads.iter().for_each(|&read| raft.read(now, read)));
        let ready = &self.nodes[&number].reads_ready;
        let at_once = reads.iter().filter(|read| ready.contains_key(read)).count();
        *self.counts.entry("reads at once").or_default() += at_once as u64;
        reads
    }

    /// Nothing passes between these and the rest, either way.
    pub fn isolate(&mut self, group: &[u64]) {
        let others: Vec<u64> =
            self.nodes.keys().copied().filter(|number| !group.contains(number)).collect();
        for &inside in group {
            for &outside in &others {
                self.weather.cut.insert((inside, outside));
                self.weather.cut.insert((outside, inside));
            }
        }
        self.story.tell(self.now, format!("the network parts {group:?} from {others:?}"));
    }

    pub fn heal(&mut self) {
        self.weather.cut.clear();
        self.story.tell(self.now, "the network is whole again".to_owned());
    }

    pub fn run_for(&mut self, microseconds: u64) {
        let end = self.now.after(microseconds);
        while self.turn(end) {}
        self.now = end;
    }

    /// Runs until `done`; fails after `limit` microseconds.
    pub fn run_until(&mut self, limit: u64, done: impl Fn(&Cluster) -> bool) {
        let end = self.now.after(limit);
        while !done(self) {
            assert!(
                self.turn(end),
                "nothing of the kind within {limit} µs:\n{}\n{}",
                self.story,
                self.state()
            );
        }
    }

    pub fn run_until_leader(&mut self, limit: u64) -> u64 {
        self.run_until(limit, |cluster| {
            cluster.leader().is_some_and(|number| {
                let raft = cluster.raft(number);
                raft.term_at(raft.commit()) == Some(raft.term())
            })
        });
        self.leader().expect("it was just seen")
    }

    /// Does the next thing due by `end`, if there is one.
    fn turn(&mut self, end: Time) -> bool {
        let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= end) else {
            return false;
        };
        self.now = entry.key().0;
        let (number, event) = entry.remove();
        self.happen(number, event);
        true
    }

    fn happen(&mut self, number: u64, event: Event) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(&number) else { return };
        let (process, local) = (node.process, node.clock.local(now));
        let Some(raft) = &mut node.raft else { return };
        match event {
            Event::Tick if node.tick_at == now => {
                if let Some(late) = self.ticks_late_by {
                    raft.compensate_pause(local, late);
                }
                raft.tick(local);
            }
            Event::Deliver { from, message } => node.hear(local, from, message),
            Event::Look { process: of } if of == process => {
                self.look(number, local);
                return;
            }
            Event::NodeHeartbeat { from, liveness } => node.hear_node(local, from, liveness),
            Event::Persisted { process: written_by, ticket } if written_by == process => {
                node.disk.sync(ticket);
                raft.persisted(local, ticket);
            }
            Event::Fetched { process: asked_by, batches } if asked_by == process => {
                raft.fetched(batches)
            }
            Event::Snapshot { from, machine, term } if !raft.is_settled() => {
                let again = Event::Snapshot { from, machine, term };
                self.schedule(now.after(MILLISECOND), number, again);
                return;
            }
            Event::Snapshot { from, machine, term } => {
                let index = machine.applied;
                let ok = node.install(local, machine, term);
                let outcome = if ok { "installs" } else { "refuses" };
                self.story.tell(now, format!("{number} {outcome} the snapshot at index {index}"));
                self.schedule(now, from, Event::SnapshotSent { to: number, ok, index });
            }
            Event::SnapshotSent { to, ok, index } => raft.snapshot_sent(local, id(to), ok, index),
            Event::Tick | Event::Persisted { .. } | Event::Fetched { .. } | Event::Look { .. } => {
                return;
            }
        }
        self.settle(number);
    }

    fn schedule(&mut self, at: Time, number: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((at, self.sequence), (number, event));
    }

    /// Does what the node's core asks, checks what it has become, and sets its alarm.
    fn settle(&mut self, number: u64) {
        loop {
            let Some(raft) = &mut self.node(number).raft else { return };
            raft.check_invariants();
            let effects = raft.take_effects();
            if effects.is_empty() {
                break;
            }
            for effect in effects {
                self.perform(number, effect);
            }
        }
        let nodes = &self.nodes;
        let raft = nodes[&number].raft.as_ref().expect("it was just seen");
        self.checker.committed(raft, |id| nodes.get(&id.0).map(|node| &node.disk));
        let clock = nodes[&number].clock;
        let next = clock.when(raft.next_tick()).max(self.now.after(1));
        let before = nodes[&number].tick_at;
        let at = match self.ticks_late_by {
            Some(_) if before > self.now => before,
            Some(late) => self.now.after(late),
            None => next,
        };
        let node = self.node(number);
        if node.tick_at != at {
            node.tick_at = at;
            self.schedule(at, number, Event::Tick);
        }
    }

    fn perform(&mut self, number: u64, effect: Effect) {
        self.story.tell_effect(self.now, number, &effect);
        *self.counts.entry(kind(&effect)).or_default() += 1;
        let now = self.now;
        match effect {
            Effect::Persist { ticket, record } => {
                let (low, high) = self.weather.sync;
                let took = self.dice.between(low, high);
                let node = self.node(number);
                let commit = node.raft.as_ref().map_or(0, Raft::commit);
                node.disk.write(ticket, record, commit);
                node.disk_busy_until = node.disk_busy_until.max(now.after(took));
                let (at, process) = (node.disk_busy_until, node.process);
                self.schedule(at, number, Event::Persisted { process, ticket });
            }
            Effect::Send { to, message } => self.send(number, to.0, message),
            Effect::Apply { batches } => {
                for batch in &batches {
                    self.checker.applied(batch);
                    // With fewer than three voters a mad clock may be the majority.
                    if !self.changes_members {
                        self.checker.clock_is_sane(batch, wall(self.now));
                    }
                    self.node(number).machine.apply(batch);
                }
                let node = self.node(number);
                let applied = node.machine.applied;
                node.raft.as_mut().expect("it was just seen").applied(applied);
            }
            Effect::ReadReady { reads, index } => {
                for read in reads {
                    let node = self.node(number);
                    let floor = node.reads.remove(&read).expect("each read is answered once");
                    assert!(
                        index >= floor,
                        "a read got index {index}, but {floor} was committed before it"
                    );
                    node.reads_ready.insert(read, index);
                }
            }
            Effect::ReadAborted { reads } => {
                for read in reads {
                    let node = self.node(number);
                    node.reads.remove(&read).expect("each read is answered once");
                    node.reads_aborted.insert(read);
                }
            }
            Effect::RoleChanged { role, .. } => {
                if role == Role::Leader {
                    let raft = self.nodes[&number].raft.as_ref().expect("it was just seen");
                    self.checker.elected(raft);
                }
            }
            Effect::Quiesced => {
                let raft = self.nodes[&number].raft.as_ref().expect("it was just seen");
                self.checker.quiesced(raft);
            }
            Effect::Unquiesced { .. } => {}
            Effect::TailRepaired => self.node(number).disk.tail_repaired(),
            Effect::FetchPayloads { from, to } => {
                let node = self.node(number);
                let (process, batches) = (node.process, node.disk.read(from, to));
                self.schedule(now.after(MILLISECOND), number, Event::Fetched { process, batches });
            }
            Effect::SnapshotNeeded { to } => {
                let node = self.node(number);
                let machine = node.machine.clone();
                let raft = node.raft.as_ref().expect("it was just seen");
                let term = raft
                    .term_at(machine.applied)
                    .expect("what is applied was not compacted further");
                let index = machine.applied;
                if self.is_cut(number, to.0) {
                    self.schedule(
                        now.after(MILLISECOND),
                        number,
                        Event::SnapshotSent { to: to.0, ok: false, index },
                    );
                } else {
                    self.schedule(
                        now.after(10 * MILLISECOND),
                        to.0,
                        Event::Snapshot { from: number, machine, term },
                    );
                    // Should the receiver not live to say so.
                    let failed = Event::SnapshotSent { to: to.0, ok: false, index };
                    self.schedule(now.after(100 * MILLISECOND), number, failed);
                }
            }
        }
    }

    /// Every node in a line or two.
    pub fn state(&self) -> String {
        let mut state = String::new();
        for (number, node) in &self.nodes {
            let Some(raft) = &node.raft else {
                state += &format!("{number} is down\n");
                continue;
            };
            state += &format!(
                "{number} is {:?} in term {}, holds {} to {}, committed {}, applied {}; {:?}\n",
                raft.role(),
                raft.term(),
                raft.first_index(),
                raft.last_index(),
                raft.commit(),
                raft.applied_index(),
                raft.peers(),
            );
        }
        state
    }

    /// Has a node look after its peers' liveness, if partitions quiesce at all.
    pub fn begin_to_look(&mut self, number: u64) {
        if self.quiesce_after.is_some() {
            let process = self.nodes[&number].process;
            self.schedule(self.now, number, Event::Look { process });
        }
    }

    /// What a host does for its replicas at every tick, as far as quiescence goes.
    fn look(&mut self, number: u64, local: Time) {
        let Some(after) = self.quiesce_after else { return };
        let process = self.nodes[&number].process;
        self.schedule(self.now.after(NODE_HEARTBEAT), number, Event::Look { process });
        let others: Vec<u64> = self.nodes.keys().copied().filter(|&n| n != number).collect();
        for other in others {
            self.carry(
                number,
                other,
                &Event::NodeHeartbeat { from: number, liveness: liveness_of(process) },
            );
        }
        self.node(number).tick_quiescence(local, after);
        self.settle(number);
    }

    fn is_cut(&self, from: u64, to: u64) -> bool {
        self.weather.cut.contains(&(from, to))
    }

    fn send(&mut self, from: u64, to: u64, message: Message) {
        self.checker.sent(id(from), &message);
        self.carry(from, to, &Event::Deliver { from, message });
    }

    fn carry(&mut self, from: u64, to: u64, event: &Event) {
        if self.is_cut(from, to) || !self.nodes.contains_key(&to) {
            return;
        }
        let copies = 1 + u64::from(self.dice.percent(self.weather.duplicate_percent));
        for _ in 0..copies {
            if !self.dice.percent(self.weather.loss_percent) {
                let stray = self.dice.percent(self.weather.stray_percent);
                let (low, high) =
                    if stray { (0, 1_000 * MILLISECOND) } else { self.weather.latency };
                let at = self.now.after(self.dice.between(low, high));
                self.schedule(at, to, event.clone());
            }
        }
    }
}

impl Node {
    /// Changes the settings of its next process.
    pub fn configure(&mut self, change: impl FnOnce(&mut Config)) {
        change(&mut self.config);
    }

    fn down(config: Config, disk: Disk) -> Node {
        Node {
            raft: None,
            disk,
            machine: Machine::default(),
            config,
            clock: Clock::default(),
            process: 0,
            liveness: NodeLiveness::new(SILENCE),
            disk_busy_until: Time(0),
            tick_at: Time(0),
            reads: BTreeMap::new(),
            reads_ready: BTreeMap::new(),
            reads_aborted: BTreeSet::new(),
        }
    }

    /// Flushes the state machine and lets the log forget what it holds.
    pub fn flush(&mut self) {
        let Some(raft) = &mut self.raft else { return };
        let term =
            raft.term_at(self.machine.applied).expect("what is applied was not compacted further");
        self.disk.flush(&self.machine, term);
        raft.compact(self.machine.applied);
    }

    fn install(&mut self, now: Time, machine: Machine, term: Term) -> bool {
        let index = machine.applied;
        let Some(raft) = &mut self.raft else { return false };
        if index <= raft.applied_index() {
            return true;
        }
        let log_stays = raft.agrees_with((index, term));
        self.disk.install(&machine, term, log_stays);
        raft.restore(now, (index, term), machine.time(), machine.membership.clone());
        self.machine = machine;
        true
    }
}

fn kind(effect: &Effect) -> &'static str {
    match effect {
        Effect::Persist { .. } => "records",
        Effect::Send { message: Message::TimeoutNow { .. }, .. } => "hand-overs",
        Effect::Send { .. } => "messages",
        Effect::Apply { .. } => "applies",
        Effect::ReadReady { .. } => "reads ready",
        Effect::ReadAborted { .. } => "reads aborted",
        Effect::RoleChanged { role: Role::Leader, .. } => "elections",
        Effect::RoleChanged { .. } => "changes of role",
        Effect::FetchPayloads { .. } => "fetches",
        Effect::TailRepaired => "tails repaired",
        Effect::Quiesced => "quiesces",
        Effect::Unquiesced { cause } => cause.name(),
        Effect::SnapshotNeeded { .. } => "snapshots",
    }
}
