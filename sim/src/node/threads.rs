//! A process's threads: watched as a real node's are, and one of them may get stuck.

use super::death::Death;
use super::process::Process;
use crate::context::Context;
use crate::events::NodeEvent;
use crate::mutants::Mutant;
use crate::random::Random;
use crate::time::seconds;
use doug_node::watchdog::{Heartbeat, Watchdog};
use std::time::Duration;

/// How often the liveness probe asks.
pub(super) const PROBE: Duration = seconds(1);
/// A thread that is silent for longer is stuck. More than the longest pause of a process.
const PATIENCE: Duration = Duration::from_secs(5);

/// One thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thread {
    Host(usize),
    Log,
    Apply,
    Worker(usize),
}

impl Thread {
    /// Whose piece of work this is; other events are of tasks.
    fn of(event: &NodeEvent) -> Option<Self> {
        match event {
            NodeEvent::Tick(host) | NodeEvent::Turn(host) => Some(Thread::Host(*host)),
            NodeEvent::Synced | NodeEvent::Idle => Some(Thread::Log),
            NodeEvent::Apply => Some(Thread::Apply),
            NodeEvent::Work(worker) => Some(Thread::Worker(*worker)),
            _ => None,
        }
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Threads {
    watchdog: Watchdog,
    heartbeats: Vec<(Thread, Heartbeat)>,
    stuck: Option<Thread>,
}

impl Threads {
    pub(super) fn new(hosts: usize, workers: usize, cx: &Context) -> Self {
        let all = (0..hosts).map(Thread::Host).chain([Thread::Log, Thread::Apply]);
        let all = all.chain((0..workers).map(Thread::Worker));
        let watchdog = Watchdog::default();
        let watch = |thread: Thread| {
            (thread, watchdog.watch(&format!("{thread:?}"), PATIENCE, cx.now.exact()))
        };
        // What the probe asked before it knew of any other thread.
        let only_hosts = cx.plan.mutant == Mutant::HalfDeadThread;
        let watched = |thread: &Thread| !only_hosts || matches!(thread, Thread::Host(_));
        let heartbeats = all.filter(watched).map(watch).collect();
        Self { watchdog, heartbeats, stuck: None }
    }

    /// Whether the thread that this is for does nothing any more.
    pub(super) fn is_stuck(&self, event: &NodeEvent) -> bool {
        self.stuck.is_some() && Thread::of(event) == self.stuck
    }
}

impl Process {
    /// One of its threads does not come round from its piece of work any more.
    pub fn get_stuck(&mut self, random: &mut Random, cx: &mut Context) -> String {
        let hosts = self.hosts.len();
        let thread = match random.below(4) {
            0 => Thread::Host(random.below(hosts as u64) as usize),
            1 => Thread::Log,
            2 => Thread::Apply,
            _ => Thread::Worker(random.below(self.workers.len() as u64) as usize),
        };
        if let Thread::Host(host) = thread {
            // Nobody takes its mail any more.
            self.hosts[host].turn_due = true;
        }
        self.threads.stuck = Some(thread);
        cx.coverage.hit(match thread {
            Thread::Host(_) => "stuck: host",
            Thread::Log => "stuck: log",
            Thread::Apply => "stuck: apply",
            Thread::Worker(_) => "stuck: maintenance",
        });
        format!("{thread:?}")
    }

    /// The liveness probe asks. Threads wait for work only for so long, so each that is
    /// not stuck has come round since.
    pub(super) fn probe(&mut self, cx: &mut Context) -> Result<(), Death> {
        self.schedule(PROBE, NodeEvent::Probe, cx);
        let Threads { watchdog, heartbeats, stuck } = &self.threads;
        for (thread, heartbeat) in heartbeats {
            if *stuck != Some(*thread) {
                heartbeat.beat(cx.now.exact());
            }
        }
        watchdog.complaint(cx.now.exact()).map_or(Ok(()), |complaint| Err(Death::Stuck(complaint)))
    }
}
