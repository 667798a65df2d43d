//! The simulated world: takes one event after the other until the run is over.

use crate::checks::{Checks, Judged, Violation, files};
use crate::clients::Client;
use crate::context::Context;
use crate::coverage::Coverage;
use crate::crash_points::CrashPoints;
use crate::database::Database;
use crate::events::{Arrival, Event, NodeEvent};
use crate::faults::Faults;
use crate::library::Library;
use crate::mutants::Mutant;
use crate::network::{Network, Place};
use crate::node::{AMBIGUITY_PATIENCE, Death, Node, Process};
use crate::operator::Operator;
use crate::plan::{Plan, SECOND};
use crate::random::Random;
use crate::schedule::Schedule;
use crate::snapshots::Snapshots;
use crate::tolerance::Losses;
use crate::trace::{Trace, Tracing};
use crate::wall_clocks::WallClocks;
use doug_sim_disk::{Crash, Fault};
use doug_storage::simulation::put_in;

/// After faults stop, everything must be well within this many microseconds.
const RECOVERY: u64 = 20 * SECOND;
/// What a disk says that has no descriptor left. Log and manifest cannot go on without, once no
/// table is left to give one up; tables can wait.
const NO_DESCRIPTOR: &str = "(os error 24)";
/// Pause between two looks at whether it is.
const LOOK: u64 = 100_000;
/// Milliseconds in which all nodes must be found idle at once, for their files to be compared.
const CALM: u32 = 5_000;

/// A whole run.
pub struct World {
    pub(crate) cx: Context,
    pub(crate) nodes: Vec<Node>,
    pub(crate) faults: Faults,
    pub(crate) operator: Operator,
    pub(crate) clients: Vec<Client>,
    pub(crate) library: Library,
    snapshots: Snapshots,
    pub(crate) random: Random,
}

impl World {
    /// Lays out what the plan says; nothing runs yet.
    pub fn new(plan: Plan, tracing: Tracing) -> Self {
        let seed = plan.seed;
        let database = Database::new(&plan);
        // Behind the nodes and their clients: the operator, and programs that run the library.
        let places = database.nodes() + plan.workload.clients + 1 + plan.library.programs();
        let links = Random::for_purpose(seed, 3);
        let wall_clocks = WallClocks::new(seed, database.nodes());
        let mut cx = Context {
            now: 0,
            schedule: Schedule::default(),
            random: Random::for_purpose(seed, 2),
            trace: Trace::new(tracing),
            network: Network::new(plan.network.clone(), places, links),
            checks: Checks::default(),
            coverage: Coverage::default(),
            database,
            plan,
            crash_points: CrashPoints::default(),
            wall_clocks,
            losses: Losses::default(),
            wanted_snapshots: Vec::new(),
            node_answers: Vec::new(),
        };
        cx.checks.begin(&cx.database.map);
        let mut nodes: Vec<_> =
            (0..cx.database.nodes()).map(|index| Node::new(index, &cx)).collect();
        nodes.iter().for_each(|node| cx.crash_points.place(node.index, &node.disk));
        crate::upgrades::begin(&mut nodes, &mut cx);
        let mut clients: Vec<_> =
            (0..cx.plan.workload.clients).map(|index| Client::new(index, &cx)).collect();
        for node in 0..nodes.len() {
            let at = cx.random.below(100_000);
            cx.schedule.add(at, Event::Start { node });
        }
        clients.iter_mut().for_each(|client| client.begin(&mut cx));
        let library = Library::begin(&mut cx);
        cx.schedule.add(SECOND, Event::Compare);
        let faults = Faults::begin(&mut cx);
        let operator = Operator::begin(&mut cx);
        let random = Random::for_purpose(seed, 4);
        let snapshots = Snapshots::default();
        Self { cx, nodes, faults, operator, clients, library, snapshots, random }
    }

    /// What everything was drawn from.
    pub fn seed(&self) -> u64 {
        self.cx.plan.seed
    }

    /// Ends every process at once, and what its disk had not synced; all start again.
    pub fn lose_power_everywhere(&mut self, crash: Crash) {
        self.tell("power fails everywhere");
        for node in 0..self.nodes.len() {
            let delay = self.random.between(1_000, 300_000);
            self.crash(node, crash, delay);
        }
    }

    /// What has been counted.
    pub fn coverage(&self) -> &Coverage {
        &self.cx.coverage
    }

    /// What has happened.
    pub fn trace(&self) -> &Trace {
        &self.cx.trace
    }

    /// Simulated time in microseconds.
    pub fn now(&self) -> u64 {
        self.cx.now
    }

    /// Runs the plan to its end: clients and faults, then calm, then judgement.
    ///
    /// # Errors
    /// The first promise that was broken.
    pub fn run(&mut self) -> Result<Judged, Violation> {
        self.run_until(self.cx.plan.duration)?;
        self.recover()
    }

    /// Ends all faults, waits until everything is well, and judges the history.
    ///
    /// # Errors
    /// A promise broken, or no recovery in time.
    pub fn recover(&mut self) -> Result<Judged, Violation> {
        self.heal();
        self.upgrade_all();
        for node in 0..self.nodes.len() {
            if self.nodes[node].process.is_none() {
                let delay = self.random.below(500_000);
                self.cx.after(delay, Event::Start { node });
            }
        }
        let partitions = self.cx.database.written();
        self.clients.iter_mut().for_each(|client| client.rest_after(&partitions));
        self.library.rest_after(&partitions);
        let healed = self.cx.now;
        let mut allowed = RECOVERY;
        while let Some(why) = self.unwell() {
            // A group of which a bare majority is left, one of them in doubt about its log's end,
            // elects nobody for that long.
            if self.nodes.iter().flat_map(|node| &node.process).any(|p| p.ambiguous_tails() > 0) {
                allowed = RECOVERY + AMBIGUITY_PATIENCE;
            }
            if self.cx.now > healed + allowed {
                let seconds = allowed / SECOND;
                let what = format!("{seconds} s after the faults stopped, {why}");
                return Err(Violation::new("recovers when faults stop", what));
            }
            self.run_until(self.cx.now + LOOK)?;
        }
        let took = (self.cx.now - healed) / 1_000;
        self.tell(&format!("everything is well again after {took} ms"));
        self.compare_machines()?;
        self.compare_files()?;
        let judged = self.cx.checks.finish()?;
        self.cx.coverage.add("keys judged linearizable", judged.keys);
        self.cx.coverage.add("keys too hard to judge", judged.too_hard);
        Ok(judged)
    }

    /// Waits until nothing is done behind the scenes any more, and looks at the disks; again if a
    /// file is left over, for what was in use when it became obsolete goes with the next tidying.
    fn compare_files(&mut self) -> Result<(), Violation> {
        if self.calm_down()? && self.account_for_files().is_err() && self.calm_down()? {
            self.account_for_files()?;
        }
        Ok(())
    }

    /// Whether nothing was done behind the scenes in the end.
    fn calm_down(&mut self) -> Result<bool, Violation> {
        // Time to give up what is idle, twice over.
        let (now, mut rounds) = (self.cx.now, 0);
        self.run_until(now + 2 * SECOND)?;
        let idle = |node: &Node| node.process.as_ref().is_some_and(Process::is_idle);
        while !(self.snapshots.is_empty() && self.nodes.iter().all(idle)) {
            rounds += 1;
            if rounds > CALM {
                self.cx.coverage.hit("files not compared: never calm");
                return Ok(false);
            }
            self.run_until(self.cx.now + 1_000)?;
        }
        Ok(true)
    }

    fn account_for_files(&mut self) -> Result<(), Violation> {
        for node in &self.nodes {
            let Some(process) = &node.process else { continue };
            if self.cx.losses.was_damaged(node.id) {
                continue;
            }
            let (known, present) = (process.store().files(), node.disk.files());
            files::compare(&node.name, &known, process.spare_files(), &present)?;
            self.cx.coverage.add("files accounted for", present.len() as u64);
        }
        Ok(())
    }

    fn compare_machines(&mut self) -> Result<(), Violation> {
        for node in &self.nodes {
            let Some(process) = &node.process else { continue };
            if self.cx.losses.was_damaged(node.id) {
                continue;
            }
            for (id, partition) in process.partitions() {
                self.cx.checks.machine(&node.name, *id, &partition.checkpoint())?;
            }
        }
        Ok(())
    }

    /// Lets time pass.
    ///
    /// # Errors
    /// A promise broken on the way.
    pub fn run_until(&mut self, until: u64) -> Result<(), Violation> {
        self.cx.crash_points.listen();
        put_in(self.cx.plan.mutant.bug());
        doug_client::simulation::put_in(self.cx.plan.mutant.of_library());
        // A marker, so that time passes even where nothing happens.
        self.cx.schedule.add(until, Event::Compare);
        while let Some((at, event)) = self.cx.schedule.pop() {
            self.cx.now = at;
            let is_end = matches!(event, Event::Compare) && at == until;
            self.handle(event)?;
            self.send_snapshots();
            if !self.cx.node_answers.is_empty() {
                let answers = std::mem::take(&mut self.cx.node_answers);
                self.library.carry(answers, &mut self.cx);
            }
            if is_end {
                return Ok(());
            }
        }
        Ok(())
    }

    fn send_snapshots(&mut self) {
        for wanted in std::mem::take(&mut self.cx.wanted_snapshots) {
            self.snapshots.begin(wanted, &mut self.cx);
        }
    }

    fn handle(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Node { node, life, event } => self.node_event(node, life, event),
            Event::Arrival { node, sent, arrival } => self.arrive(node, sent, arrival),
            Event::Client { client, event } => {
                self.cx.trace.count([self.cx.now, 3, client as u64, 0]);
                self.clients[client].handle(event, &mut self.cx)
            }
            Event::Operator(event) => {
                self.operator.handle(event, &mut self.cx);
                Ok(())
            }
            Event::Library(event) => self.library.handle(event, &mut self.nodes, &mut self.cx),
            Event::Snapshot { transfer } => {
                let step = self.snapshots.step(transfer, &mut self.nodes, &mut self.cx);
                match step {
                    _ if self.power_was_cut() => Ok(()),
                    Err((node, death)) => self.died(node, death),
                    Ok(()) => Ok(()),
                }
            }
            Event::Fault(kind) => self.fault(kind),
            Event::Relief(relief) => {
                self.relieve(relief);
                Ok(())
            }
            Event::Start { node } => self.start(node),
            Event::Upgrade { node, level, clean } => {
                self.upgrade(node, level, clean);
                Ok(())
            }
            Event::Compare => self.compare_logs(),
        }
    }

    fn node_event(&mut self, node: usize, life: u64, event: NodeEvent) -> Result<(), Violation> {
        let slot = &mut self.nodes[node];
        let Some(process) = slot.process.as_mut().filter(|process| process.life() == life) else {
            return Ok(());
        };
        if slot.paused_until > self.cx.now {
            self.cx.schedule.add(slot.paused_until, Event::Node { node, life, event });
            return Ok(());
        }
        self.cx.trace.count([self.cx.now, 1, node as u64, event.number()]);
        process.slow_disk = slot.slow_disk;
        self.cx.crash_points.enter(node);
        let handled = process.handle(event, &mut self.cx);
        self.handled(node, handled)
    }

    /// Something happened inside a process: how it took that.
    fn handled(&mut self, node: usize, handled: Result<(), Death>) -> Result<(), Violation> {
        let slot = &mut self.nodes[node];
        let failed_syncs = slot.disk.failed_syncs();
        let failed = failed_syncs > slot.failed_syncs;
        slot.failed_syncs = failed_syncs;
        match handled {
            Err(Death::Broken(violation)) => self.died(node, Death::Broken(violation)),
            _ if self.power_was_cut() => Ok(()),
            Err(death) => self.died(node, death),
            Ok(()) if failed => {
                let what = format!("{} goes on after an fsync failed", self.nodes[node].name);
                Err(Violation::new("a failed fsync ends the process", what))
            }
            Ok(()) => {
                let process = self.nodes[node].process.as_mut();
                if process.is_some_and(Process::has_new_map) {
                    self.library.tell_map(&self.nodes[node], &mut self.cx);
                }
                Ok(())
            }
        }
    }

    /// Where the power failed at a crash point, the process ends there.
    fn power_was_cut(&mut self) -> bool {
        let Some(point) = self.cx.crash_points.take_hit() else { return false };
        self.cx.coverage.hit(&format!("crash point: {point}"));
        for node in 0..self.nodes.len() {
            if self.nodes[node].disk.is_down() {
                self.tell(&format!("{} loses power at {point:?}", self.nodes[node].name));
                let crashes = [Crash::LoseUnsynced, Crash::KeepSome, Crash::Process];
                let crash = *self.random.pick(&crashes);
                let delay = self.random.between(1_000, SECOND);
                self.crash(node, crash, delay);
            }
        }
        true
    }

    fn arrive(
        &mut self,
        node: usize,
        sent: (Place, u64),
        arrival: Box<Arrival>,
    ) -> Result<(), Violation> {
        if self.cx.network.was_reset(sent.0, node, sent.1) {
            self.cx.coverage.hit("message lost with its stream");
            return Ok(());
        }
        let slot = &mut self.nodes[node];
        let Some(process) = slot.process.as_mut() else { return Ok(()) };
        if slot.paused_until > self.cx.now {
            self.cx.schedule.add(slot.paused_until, Event::Arrival { node, sent, arrival });
            return Ok(());
        }
        self.cx.trace.count([self.cx.now, 2, node as u64, arrival.digest()]);
        self.cx.trace.detail(self.cx.now, || format!("{} hears {arrival}", slot.name));
        process.slow_disk = slot.slow_disk;
        self.cx.crash_points.enter(node);
        let handled = process.arrive(*arrival, &mut self.cx);
        self.handled(node, handled)
    }

    fn start(&mut self, node: usize) -> Result<(), Violation> {
        if self.nodes[node].process.is_some() {
            return Ok(());
        }
        self.nodes[node].paused_until = 0;
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
                self.crash(node, Crash::Process, SECOND);
                Ok(())
            }
            Err(death) => self.died(node, death),
        }
    }

    /// A process ended by itself. That breaks a promise unless its disk was made to fail, or its files
    /// were damaged.
    fn died(&mut self, node: usize, death: Death) -> Result<(), Violation> {
        let name = self.nodes[node].name.clone();
        if self.cx.losses.was_damaged(self.nodes[node].id)
            && let Some(damage) = noticed(&death)
        {
            self.tell(&format!("{name} notices that its files are damaged: {damage}"));
            self.cx.coverage.hit("damage noticed");
            let delay = self.random.between(1_000, 3 * SECOND);
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
                let delay = self.random.between(1_000, SECOND);
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
        let delay = self.random.between(1_000, SECOND);
        self.crash(node, crash, delay);
        Ok(())
    }

    /// Ends a process, and maybe what its disk had not synced; it starts again later.
    pub(crate) fn crash(&mut self, node: usize, crash: Crash, delay: u64) {
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
        slot.paused_until = 0;
        let name = slot.name.clone();
        self.cx.after(delay, Event::Start { node });
        self.tell(&format!("{name} is down ({crash:?}) for {} ms", delay / 1_000));
        self.refuse(node);
    }

    /// Ends a process and loses its volume. The node comes back empty, under a new id, as its
    /// operator would bring it back.
    pub(crate) fn wipe(&mut self, node: usize, delay: u64) {
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
                let delay = self.random.between(500, 20_000);
                let arrival = Box::new(Arrival::Refused { peer });
                // It is no message: nothing that breaks on the way takes it back.
                let sent = (node, u64::MAX);
                self.cx.after(delay, Event::Arrival { node: other, sent, arrival });
            }
        }
    }

    /// Compares the logs of all replicas, now.
    fn compare_logs(&mut self) -> Result<(), Violation> {
        if self.cx.now.is_multiple_of(SECOND) {
            self.cx.schedule.add(self.cx.now + SECOND, Event::Compare);
        }
        for process in self.nodes.iter().filter_map(|node| node.process.as_ref()) {
            process.check_quiesced()?;
        }
        for partition in self.cx.database.partitions() {
            let processes = self.nodes.iter().filter_map(|node| node.process.as_ref());
            let logs: Vec<_> = processes.filter_map(|process| process.raft(partition)).collect();
            // Only voters quiesce together: learners and those left out have no say.
            let descriptor = self.cx.checks.descriptor(partition);
            let votes = |raft: &&&doug_raft::Raft| {
                descriptor.is_some_and(|d| d.voters.iter().any(|v| v.replica == raft.id().0))
            };
            let voters: Vec<_> = logs.iter().filter(votes).copied().collect();
            self.cx.checks.check_quiescence(partition, &voters)?;
            if logs.iter().all(|raft| raft.is_quiesced()) {
                self.cx.coverage.hit("whole partition quiesced");
            }
            for (place, first) in logs.iter().enumerate() {
                for second in &logs[place + 1..] {
                    self.cx.checks.logs(first, second)?;
                }
            }
        }
        Ok(())
    }

    pub(crate) fn tell(&mut self, line: &str) {
        self.cx.trace.tell(self.cx.now, line);
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
