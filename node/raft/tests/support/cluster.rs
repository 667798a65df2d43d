//! A whole group on a simulated network and simulated disks, driven by one seed: who belongs to
//! it, what it is asked, and how long it runs. A checker looks on.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use doug_raft::{
    ChangeError, Clock as WallClock, Config, Configuration, Membership, NodeLiveness, ProposeError,
    Proposed, Raft, ReadId, Role, Time,
};

use super::check::Checker;
use super::disk::Disk;
use super::events::Event;
use super::node::{Clock, Node};
use super::quiesce::SILENCE;
use super::story::Story;
use super::weather::{Dice, Weather};
use super::{config, describe, id, voters};

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
    pub quiesce_after: Option<Duration>,
    /// Ticks come only so often, and nodes take each for the end of a pause.
    pub ticks_late_by: Option<Duration>,
    /// Crashes leave ambiguous tails, and now and then something durable is lost with one.
    pub tails_suffer: bool,
    drift_ppm: u64,
    /// Draws nothing but wall clocks and tokens.
    pub(super) clock_dice: Dice,
    /// Draws nothing but what crashes do to the ends of logs.
    pub tail_dice: Dice,
    last_number: u64,
    pub(super) events: BTreeMap<(Time, u64), (u64, Event)>,
    pub(super) sequence: u64,
    next_read: u64,
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
        let (truth, faulty, seen) = self.draw_clocks();
        let proposed = self.with(number, |raft, now| {
            raft.observe_clocks(now, |id| WallClock(if id.0 == 1 { faulty } else { truth }));
            raft.propose_after(now, seen, commands)
        });
        if let Ok(at) = &proposed {
            self.checker.proposed(*at, seen);
        }
        proposed
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

    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now.after(duration);
        while self.turn(end) {}
        self.now = end;
    }

    /// Runs until `done`; fails after `limit`.
    pub fn run_until(&mut self, limit: Duration, done: impl Fn(&Cluster) -> bool) {
        let end = self.now.after(limit);
        while !done(self) {
            assert!(
                self.turn(end),
                "nothing of the kind within {limit:?}:\n{}\n{}",
                self.story,
                self.state()
            );
        }
    }

    pub fn run_until_leader(&mut self, limit: Duration) -> u64 {
        self.run_until(limit, |cluster| {
            cluster.leader().is_some_and(|number| {
                let raft = cluster.raft(number);
                raft.term_at(raft.commit()) == Some(raft.term())
            })
        });
        self.leader().expect("it was just seen")
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
}
