//! Programs of two versions side by side: nodes begin with the older one and are upgraded one by
//! one, in any order, half of them by a clean stop. Some go back, as long as no partition of theirs
//! has risen.

use crate::context::Context;
use crate::events::Event;
use crate::node::Node;
use crate::random::Random;
use crate::time::{SimTime, millis, seconds};
use crate::world::World;
use doug_node::host::Event as HostEvent;
use doug_node::levels::{FEATURE_LEVEL, KNOWN_LEVEL};
use doug_sim_disk::Crash;
use std::time::Duration;

/// The level of the older program.
pub const OLD: u32 = FEATURE_LEVEL;
/// The level of the newer one.
pub const NEW: u32 = KNOWN_LEVEL;
/// Of a hundred nodes, how many begin with the older program.
const OLDER: u64 = 75;
/// Of a hundred upgrades, how many are taken back.
const TAKEN_BACK: u64 = 30;
/// How long a node is down before its program is taken back: a leader that stood still must have
/// noticed, or it could raise the level by what the newer one said.
const SETTLED: Duration = seconds(6);

/// Gives nodes the older program, and schedules when each gets the newer.
pub fn begin(nodes: &mut [Node], cx: &mut Context) {
    if !cx.plan.upgrades {
        nodes.iter().for_each(|node| cx.checks.versions.starts(node.id, node.level));
        return;
    }
    let mut random = Random::for_purpose(cx.plan.seed, 7);
    // Half of the run is left for what the newer programs allow.
    let end = (cx.plan.duration / 2).max(seconds(2));
    for (node, slot) in nodes.iter_mut().enumerate() {
        if random.below(100) < OLDER {
            slot.level = OLD;
            let at = SimTime::ZERO + random.duration_between(seconds(1), end);
            let clean = random.chance(500);
            cx.schedule.add(at, Event::Upgrade { node, level: NEW, clean });
            if random.below(100) < TAKEN_BACK {
                let back = at + random.duration_below(seconds(5));
                let again = back + random.duration_between(SETTLED, 4 * SETTLED);
                cx.schedule.add(back, Event::Upgrade { node, level: OLD, clean: false });
                cx.schedule.add(again, Event::Upgrade { node, level: NEW, clean });
            }
        }
        cx.checks.versions.starts(slot.id, slot.level);
    }
}

impl World {
    /// A node's process ends, and another version takes its place; if it is a `clean` end, its
    /// leaderships are handed over first.
    pub(crate) fn upgrade(&mut self, node: usize, level: u32, clean: bool) {
        let slot = &mut self.nodes[node];
        if slot.level == level && slot.older_at.is_none() {
            return;
        }
        if let Some(process) = slot.process.as_mut().filter(|_| clean) {
            process.post_all(&HostEvent::HandOver, &mut self.cx);
            self.cx.coverage.hit("program to be upgraded hands over");
            let grace = self.random.duration_between(millis(100), seconds(2));
            return self.cx.after(grace, Event::Upgrade { node, level, clean: false });
        }
        let (what, pause) = match level {
            OLD => {
                slot.older_at = Some(self.cx.now + SETTLED);
                ("program to be taken back", SETTLED)
            }
            _ => {
                (slot.level, slot.older_at) = (level, None);
                ("program upgraded", millis(50))
            }
        };
        let line = format!("{}: {what}", slot.name);
        self.cx.coverage.hit(what);
        self.tell(&line);
        if self.nodes[node].process.is_some() {
            self.crash(node, Crash::Process, pause);
        }
    }

    /// Which program a node that is about to start runs: nobody starts an older one on
    /// replicas whose level has risen.
    pub(crate) fn choose_program(&mut self, node: usize) {
        let slot = &mut self.nodes[node];
        let risen = self.cx.checks.versions.needs(slot.id, slot.level);
        if slot.older_at.take().is_some_and(|at| at <= self.cx.now) && !risen {
            self.cx.coverage.hit("program taken back");
            slot.level = OLD;
        }
        if self.cx.checks.versions.needs(slot.id, slot.level) {
            self.cx.coverage.hit("program upgraded: the level rose without the node");
            slot.level = NEW;
        }
        self.cx.checks.versions.starts(slot.id, slot.level);
    }

    /// Whoever runs the older program still is upgraded when the faults are over.
    pub(crate) fn upgrade_all(&mut self) {
        for node in 0..self.nodes.len() {
            self.upgrade(node, NEW, false);
        }
    }
}
