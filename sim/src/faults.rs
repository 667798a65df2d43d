//! Trouble: what each kind of fault does, and how it ends.

use crate::checks::Violation;
use crate::context::Context;
use crate::crash_points::CRASH_POINTS;
use crate::events::Event;
use crate::network::Place;
use crate::plan::FaultKind;
use crate::random::Random;
use crate::time::{ClockFault, SimTime, micros, millis, seconds};
use crate::world::World;
use doug_node::host::Event as HostEvent;
use doug_node::work::RequestId;
use doug_raft::Time;
use doug_sim_disk::{Crash, Fault};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The end of some trouble.
#[derive(Debug)]
pub enum Relief {
    /// These links work again.
    Links(BTreeSet<(Place, Place)>),
    /// This link is as fast as before.
    Link((Place, Place)),
    /// This node's disk is as fast as before.
    Disk(usize),
    /// This node's process gets descriptors again.
    Descriptors(usize),
    /// This node, told to stop, ends.
    Stopped(usize),
    /// The faulty wall clock is set right.
    WallClock,
    /// The clock of this node's process runs on; of a later process it always did.
    Clock {
        /// The node.
        node: usize,
        /// Its process.
        life: u64,
        /// What had happened to it.
        fault: ClockFault,
    },
}

/// By how much clocks jump.
const HOUR: Duration = seconds(3_600);

/// Lets the power of a founder fail, now and then, while the database is created: all other faults
/// come later.
fn arm_founder(cx: &Context) {
    let mut random = Random::for_purpose(cx.plan.seed, 12);
    if cx.plan.faults.contains_key(&FaultKind::CrashPoint) && random.chance(150) {
        let founder = random.below(cx.database.nodes() as u64) as usize;
        let point = *random.pick(&["joining: begun", "joining: durable"]);
        cx.crash_points.arm(founder, point);
    }
}

/// When faults come; each kind draws from its own chance, so that leaving one out
/// does not change the others.
#[derive(Debug)]
pub struct Faults {
    random: BTreeMap<FaultKind, Random>,
    over: bool,
}

impl Faults {
    /// Schedules the first of each kind the plan names.
    pub fn begin(cx: &mut Context) -> Self {
        let seed = cx.plan.seed;
        let number = |kind: &FaultKind| 3_000 + *kind as u64;
        let kinds: Vec<_> = cx.plan.faults.clone().into_iter().collect();
        arm_founder(cx);
        let mut faults = Self { random: BTreeMap::new(), over: false };
        for (kind, mean) in kinds {
            let mut random = Random::for_purpose(seed, number(&kind));
            // Everybody joins the database first.
            cx.after(seconds(1) + random.duration_below(2 * mean), Event::Fault(kind));
            faults.random.insert(kind, random);
        }
        faults
    }

    /// No more of them.
    pub fn end(&mut self) {
        self.over = true;
    }
}

impl World {
    /// Carries a fault out, and schedules the next of its kind.
    ///
    /// # Errors
    /// A promise that is broken on the spot.
    pub(crate) fn fault(&mut self, kind: FaultKind) -> Result<(), Violation> {
        if self.faults.over {
            return Ok(());
        }
        let Some(mut random) = self.faults.random.get(&kind).cloned() else { return Ok(()) };
        let mean = self.cx.plan.faults.get(&kind).copied().unwrap_or(seconds(1));
        self.cx.after(micros(1) + random.duration_below(2 * mean), Event::Fault(kind));
        self.cx.coverage.hit(&format!("fault: {}", kind.name()));
        let node = random.below(self.nodes.len() as u64) as usize;
        let injected = self.inject(kind, node, &mut random);
        self.faults.random.insert(kind, random);
        injected
    }

    fn inject(
        &mut self,
        kind: FaultKind,
        node: usize,
        random: &mut Random,
    ) -> Result<(), Violation> {
        match kind {
            FaultKind::Kill => {
                self.crash(node, Crash::Process, random.duration_between(millis(1), seconds(1)))
            }
            FaultKind::PowerLoss => {
                self.crash(
                    node,
                    Crash::LoseUnsynced,
                    random.duration_between(millis(1), seconds(2)),
                );
            }
            FaultKind::TornPowerLoss => {
                self.crash(node, Crash::KeepSome, random.duration_between(millis(1), seconds(2)));
            }
            FaultKind::AllPowerLoss => {
                let crash = *random.pick(&[Crash::LoseUnsynced, Crash::KeepSome]);
                self.lose_power_everywhere(crash);
            }
            FaultKind::PowerLossAtOperation => self.fail_disk(node, Fault::PowerLoss, random),
            FaultKind::DiskError => self.fail_disk(node, Fault::Io, random),
            FaultKind::DiskFull => self.fail_disk(node, Fault::NoSpace, random),
            FaultKind::Pause => {
                let until = self.cx.now + random.duration_between(millis(20), seconds(3));
                self.nodes[node].paused_until = until;
                self.tell(&format!(
                    "{} is paused for {} ms",
                    self.nodes[node].name,
                    (until - self.cx.now).as_millis()
                ));
            }
            FaultKind::Isolation
            | FaultKind::Split
            | FaultKind::OneWay
            | FaultKind::PairCut
            | FaultKind::Bridge => {
                self.cut(kind, node, random);
            }
            FaultKind::StreamReset => self.reset_streams(node, random),
            FaultKind::NoDescriptors => {
                let disk = &self.nodes[node].disk;
                disk.limit_descriptors(Some(disk.descriptors()));
                let lasts = random.duration_between(millis(50), seconds(3));
                self.cx.after(lasts, Event::Relief(Relief::Descriptors(node)));
            }
            FaultKind::FailedSync => self.nodes[node].disk.fail_next_sync(),
            FaultKind::CrashPoint => {
                self.cx.crash_points.arm(node, random.pick::<&'static str>(&CRASH_POINTS));
            }
            FaultKind::BitFlip
            | FaultKind::Misdirected
            | FaultKind::LostSector
            | FaultKind::TailDamage
            | FaultKind::Wipe => {
                self.damage(kind, node, random);
            }
            FaultKind::Move | FaultKind::MemberReplaced | FaultKind::GoalGivenUp => {
                self.ask_for_goal(kind, random);
            }
            FaultKind::ClockAhead => self.disturb_clock(node, ClockFault::Ahead(HOUR), random),
            FaultKind::ClockBack => self.disturb_clock(node, ClockFault::Back(HOUR), random),
            FaultKind::ClockFrozen => self.disturb_clock(node, ClockFault::Frozen, random),
            FaultKind::WallClockAhead => self.disturb_wall_clock(ClockFault::Ahead(HOUR), random),
            FaultKind::WallClockBack => self.disturb_wall_clock(ClockFault::Back(HOUR), random),
            FaultKind::WallClockFrozen => self.disturb_wall_clock(ClockFault::Frozen, random),
            FaultKind::SlowLink => {
                let link = (node, random.below(self.nodes.len() as u64) as usize);
                self.cx.network.slow_down(link, random.duration_between(millis(5), millis(150)));
                self.cx.after(random.duration_below(seconds(4)), Event::Relief(Relief::Link(link)));
            }
            FaultKind::SlowDisk => {
                self.nodes[node].slow_disk = random.duration_between(millis(5), millis(120));
                self.cx.after(random.duration_below(seconds(4)), Event::Relief(Relief::Disk(node)));
            }
            FaultKind::Transfer => self.transfer(random),
            FaultKind::CleanStop => {
                if let Some(process) = self.nodes[node].process.as_mut() {
                    process.post_all(&HostEvent::HandOver, &mut self.cx);
                    self.tell(&format!("{} is told to stop", self.nodes[node].name));
                    let grace = random.duration_between(millis(100), seconds(2));
                    self.cx.after(grace, Event::Relief(Relief::Stopped(node)));
                }
            }
            FaultKind::FullLog => {
                let until = self.cx.now + random.duration_between(millis(100), seconds(3));
                let slot = &mut self.nodes[node];
                if let Some(process) = slot.process.as_mut() {
                    process.full_log = Some(until);
                    let line = format!("the log of {} is full", slot.name);
                    self.tell(&line);
                }
            }
            FaultKind::StuckThread => {
                let slot = &mut self.nodes[node];
                if let Some(process) = slot.process.as_mut() {
                    let thread = process.get_stuck(random, &mut self.cx);
                    let line = format!("{}: thread {thread} gets stuck", slot.name);
                    self.tell(&line);
                }
            }
            FaultKind::FacadeKill
            | FaultKind::FacadePause
            | FaultKind::ClientCut
            | FaultKind::ClientReset => {
                return self.library.fault(kind, random, &mut self.nodes, &mut self.cx);
            }
        }
        Ok(())
    }

    fn fail_disk(&mut self, node: usize, fault: Fault, random: &mut Random) {
        let disk = &self.nodes[node].disk;
        disk.fail_at(disk.operations() + 1 + random.below(60), fault);
    }

    fn cut(&mut self, kind: FaultKind, node: usize, random: &mut Random) {
        // Partitions move from one cluster to another, so cuts go through both now and then.
        let mut cluster = if random.chance(250) {
            (0..self.nodes.len()).collect()
        } else {
            self.cx.database.cluster_of(node)
        };
        random.shuffle(&mut cluster);
        let (one, others) = match kind {
            FaultKind::Isolation | FaultKind::OneWay => cluster.split_at(1),
            FaultKind::PairCut => (&cluster[..1], &cluster[1..2]),
            _ => cluster.split_at(random.between(1, cluster.len() as u64 - 1) as usize),
        };
        // The one that both sides of a bridge see.
        let others = match kind {
            FaultKind::Bridge => &others[others.len().min(1)..],
            _ => others,
        };
        let pairs = one.iter().flat_map(|a| others.iter().map(move |b| (*a, *b)));
        let mut links = BTreeSet::new();
        for (a, b) in pairs {
            match kind {
                FaultKind::OneWay if random.chance(500) => links.insert((a, b)),
                FaultKind::OneWay => links.insert((b, a)),
                _ => links.insert((a, b)) && links.insert((b, a)),
            };
        }
        let names = |nodes: &[usize]| {
            nodes.iter().map(|n| self.nodes[*n].name.clone()).collect::<Vec<_>>().join(" ")
        };
        self.tell(&format!("{}: {} | {}", kind.name(), names(one), names(others)));
        self.cx.network.cut(&links);
        let lasts = random.duration_between(millis(50), seconds(4));
        self.cx.after(lasts, Event::Relief(Relief::Links(links)));
    }

    fn reset_streams(&mut self, node: usize, random: &mut Random) {
        let other = random.below(self.nodes.len() as u64) as usize;
        let now = self.cx.now;
        self.cx.network.reset(now, (node, other));
        self.cx.network.reset(now, (other, node));
        self.tell(&format!(
            "the streams between {} and {} break",
            self.nodes[node].name, self.nodes[other].name
        ));
    }

    /// Disturbs a process's clock. Ahead it stays ahead: a
    /// suspended machine never gets its time back. In any other case it comes to itself later.
    fn disturb_clock(&mut self, node: usize, fault: ClockFault, random: &mut Random) {
        let now = self.cx.now;
        let slot = &mut self.nodes[node];
        let Some(process) = slot.process.as_mut() else { return };
        process.clock.disturb(fault, now);
        let (line, life) = (format!("the clock of {} {fault}", slot.name), process.life());
        self.tell(&line);
        if !matches!(fault, ClockFault::Ahead(_)) {
            self.cx.checks.distrust_clock(node);
            let lasts = random.duration_between(millis(100), seconds(5));
            self.cx.after(lasts, Event::Relief(Relief::Clock { node, life, fault }));
        }
    }

    /// Disturbs the faulty wall clock, which is set right later.
    fn disturb_wall_clock(&mut self, fault: ClockFault, random: &mut Random) {
        let node = self.cx.wall_clocks.disturb(self.cx.now, fault);
        self.tell(&format!("the wall clock of {} {fault}", self.nodes[node].name));
        let lasts = random.duration_between(seconds(1), seconds(20));
        self.cx.after(lasts, Event::Relief(Relief::WallClock));
    }

    fn transfer(&mut self, random: &mut Random) {
        let partition = *random.pick(&self.cx.database.partitions());
        for node in &mut self.nodes {
            let Some(process) = node.process.as_mut() else { continue };
            let event = HostEvent::Transfer {
                request: RequestId(u64::MAX),
                partition,
                to: None,
                deadline: Time(u64::MAX),
            };
            let host = doug_node::host::host_of(partition, self.cx.plan.hosts);
            process.post(host, event, &mut self.cx);
        }
    }

    /// Ends some trouble.
    pub(crate) fn relieve(&mut self, relief: Relief) {
        match relief {
            Relief::Links(links) => self.cx.network.mend(&links),
            Relief::Link(link) => self.cx.network.slow_down(link, Duration::ZERO),
            Relief::Disk(node) => self.nodes[node].slow_disk = Duration::ZERO,
            Relief::WallClock => self.cx.wall_clocks.mend(),
            Relief::Descriptors(node) => self.nodes[node].disk.limit_descriptors(None),
            Relief::Clock { node, life, fault } => {
                let process = self.nodes[node].process.as_mut();
                if let Some(process) = process.filter(|process| process.life() == life) {
                    process.clock.relieve(fault);
                }
            }
            Relief::Stopped(node) => self.crash(node, Crash::Process, millis(200)),
        }
    }

    /// Ends all trouble for good.
    pub(crate) fn heal(&mut self) {
        self.faults.end();
        self.cx.network.heal();
        for node in &mut self.nodes {
            node.paused_until = SimTime::ZERO;
            node.slow_disk = Duration::ZERO;
            node.disk.limit_descriptors(None);
            node.disk.call_off_faults();
        }
        self.cx.crash_points.disarm();
        self.cx.wall_clocks.mend();
        self.library.heal(&mut self.cx);
        self.tell("faults stop");
    }
}
