//! How processes start and end: crashed, by themselves, with the power, with their volumes.

use crate::checks::Violation;
use crate::events::{Arrival, Event};
use crate::mutants::Mutant;
use crate::node::Death;
use crate::time::{SimTime, micros, millis, seconds};
use crate::world::World;
use doug_sim_disk::{Crash, Fault};
use std::time::Duration;

/// What a disk says that has no descriptor left. Log and manifest cannot go on without, once no
/// table is left to give one up; tables can wait.
const NO_DESCRIPTOR: &str = "(os error 24)";

impl World {
    /// Ends every process at once, and what its disk had not synced; all start again.
    pub fn lose_power_everywhere(&mut self, crash: Crash) {
        self.tell("power fails everywhere");
        for node in 0..self.nodes.len() {
            let delay = self.random.duration_between(millis(1), millis(300));
            self.crash(node, crash, delay);
        }
    }

    pub(crate) fn start(&mut self, node: usize) -> Result<(), Violation> {
        if self.nodes[node].process.is_some() {
            return Ok(());
        }
        self.nodes[node].paused_until = SimTime::ZERO;
        self.choose_program(node);
        self.cx.crash_points.enter(node);
        let started = self.nodes[node].start(&mut self.cx);
        self.nodes[node].failed_syncs = self.nodes[node].disk.failed_syncs();
        match started {
            Err(Death::Broken(violation)) => Err(violation),
            _ if self.power_was_cut() => Ok(()),
            Ok(()) => {
                let life = self.nodes[node].life;
                self.tell(&format!("{} starts (process {life})", self.nodes[node].name));
                Ok(())
            }
            // A start that finds no descriptor for a table changes nothing, and is made again.
            Err(Death::Storage(error)) if error.is_out_of_descriptors() => {
                self.tell(&format!("{} cannot start: {error}", self.nodes[node].name));
                self.cx.coverage.hit("start without a descriptor");
                self.crash(node, Crash::Process, seconds(1));
                Ok(())
            }
            Err(death) => self.died(node, death),
        }
    }

    /// A process ended by itself. That breaks a promise unless its disk was made to fail, or its
    /// files were damaged.
    pub(crate) fn died(&mut self, node: usize, death: Death) -> Result<(), Violation> {
        let name = self.nodes[node].name.clone();
        if self.cx.losses.was_damaged(self.nodes[node].id)
            && let Some(damage) = noticed(&death)
        {
            self.tell(&format!("{name} notices that its files are damaged: {damage}"));
            self.cx.coverage.hit("damage noticed");
            let delay = self.random.duration_between(millis(1), seconds(3));
            self.wipe(node, delay);
            return Ok(());
        }
        let error = match death {
            Death::Broken(violation) => return Err(violation),
            Death::Apply(error) => {
                let what = format!("{name} cannot apply what is committed: {error}");
                return Err(Violation::new("nodes keep running", what));
            }
            Death::Stuck(complaint) => {
                self.tell(&format!("{name} fails its liveness probe: {complaint}"));
                let delay = self.random.duration_between(millis(1), seconds(1));
                self.crash(node, Crash::Process, delay);
                return Ok(());
            }
            Death::Storage(error) => error.to_string(),
        };
        let no_descriptor = error.contains(NO_DESCRIPTOR) && !error.contains(".sst");
        if !error.contains("simulated") && !no_descriptor {
            let what = format!("{name} ended by itself: {error}");
            return Err(Violation::new("nodes keep running", what));
        }
        self.tell(&format!("{name} ends: {error}"));
        self.cx.coverage.hit(&format!("disk failed: {}", crash_point(&error)));
        let crash = if error.contains("power loss") {
            *self.random.pick(&[Crash::LoseUnsynced, Crash::KeepSome])
        } else {
            Crash::Process
        };
        let delay = self.random.duration_between(millis(1), seconds(1));
        self.crash(node, crash, delay);
        Ok(())
    }

    /// Where the power failed at a crash point, the process ends there.
    pub(crate) fn power_was_cut(&mut self) -> bool {
        let Some(point) = self.cx.crash_points.take_hit() else { return false };
        self.cx.coverage.hit(&format!("crash point: {point}"));
        for node in 0..self.nodes.len() {
            if self.nodes[node].disk.is_down() {
                self.tell(&format!("{} loses power at {point:?}", self.nodes[node].name));
                let crashes = [Crash::LoseUnsynced, Crash::KeepSome, Crash::Process];
                let crash = *self.random.pick(&crashes);
                let delay = self.random.duration_between(millis(1), seconds(1));
                self.crash(node, crash, delay);
            }
        }
        true
    }

    /// Ends a process, and maybe what its disk had not synced; it starts again later.
    pub(crate) fn crash(&mut self, node: usize, crash: Crash, delay: Duration) {
        let slot = &mut self.nodes[node];
        if let Some(mut process) = slot.process.take() {
            if crash != Crash::Process {
                // The write may have begun when power failed.
                let begun = self.random.between(1, 3);
                slot.disk.fail_at(slot.disk.operations() + begun, Fault::PowerLoss);
                process.interrupt_sync();
            }
            self.cx.coverage.hit("process ended");
            self.library.node_ended(node, crash != Crash::Process, &mut self.cx);
        }
        slot.disk.crash(crash);
        slot.paused_until = SimTime::ZERO;
        let name = slot.name.clone();
        self.cx.after(delay, Event::Start { node });
        self.tell(&format!("{name} is down ({crash:?}) for {} ms", delay.as_millis()));
        self.refuse(node);
    }

    /// Ends a process and loses its volume. The node comes back empty, under a new id, as its
    /// operator would bring it back.
    pub(crate) fn wipe(&mut self, node: usize, delay: Duration) {
        self.crash(node, Crash::Process, delay);
        let keeps_id = self.cx.plan.mutant == Mutant::WipedNodeKeepsItsId;
        let former = self.nodes[node].id;
        let id = if keeps_id {
            self.cx.checks.forget(former);
            former
        } else {
            self.cx.losses.lose_volume(former);
            self.operator.is_empty(node);
            self.cx.database.renew(node)
        };
        let founder = keeps_id && self.cx.database.is_founder(node);
        self.nodes[node].wipe(id, founder);
        self.cx.crash_points.place(node, &self.nodes[node].disk);
        self.tell(&format!("{} has lost its volume: it is node {id} now", self.nodes[node].name));
    }

    /// Some peers notice at once that the port refuses.
    fn refuse(&mut self, node: usize) {
        let peer = self.nodes[node].id;
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            if self.random.chance(500) && !self.cx.network.is_cut(node, other) {
                let delay = self.random.duration_between(micros(500), millis(20));
                let arrival = Box::new(Arrival::Refused { peer });
                // It is no message: nothing that breaks on the way takes it back.
                let sent = (node, SimTime::END);
                self.cx.after(delay, Event::Arrival { node: other, sent, arrival });
            }
        }
    }
}

/// What a death says of damaged files, if it is about such as may end a process: damage of the
/// log or the manifest is the whole node's, that of a table costs its replica only.
fn noticed(death: &Death) -> Option<String> {
    let said = match death {
        Death::Broken(violation) if violation.checker == "reads succeed" => violation.to_string(),
        Death::Broken(_) | Death::Stuck(_) => return None,
        Death::Apply(error) => error.to_string(),
        Death::Storage(error) => error.to_string(),
    };
    let of_a_table = said.contains(".sst");
    // A process that found no descriptor ends, and its files are as good as they were.
    let out_of_descriptors = said.contains("Too many open files");
    (!said.contains("simulated") && !of_a_table && !out_of_descriptors).then_some(said)
}

/// What was being done, and to what kind of file, when a disk failed.
fn crash_point(error: &str) -> String {
    let mut words = error.strip_prefix("could not ").unwrap_or(error).split(' ');
    let action = words.next().unwrap_or_default();
    let path = words.find(|word| word.starts_with('/')).unwrap_or_default();
    let kind = match path {
        _ if path.contains("MANIFEST") => "the manifest",
        _ if path.contains("CURRENT") => "CURRENT",
        _ if path.contains("/log/free") => "a free segment",
        _ if path.contains("/log/") => "a segment",
        _ if path.contains("/log") => "the log's directory",
        _ if path.contains("/sst/") => "a table",
        _ if path.contains("/sst") => "the tables' directory",
        _ => "the data directory",
    };
    format!("{action} {kind}")
}
