//! The simulated world: takes one event after the other until the run is over.

use crate::checks::{Checks, Judged, Violation};
use crate::clients::Client;
use crate::context::Context;
use crate::coverage::Coverage;
use crate::crash_points::CrashPoints;
use crate::database::Database;
use crate::events::{Arrival, Event, NodeEvent};
use crate::faults::Faults;
use crate::library::Library;
use crate::network::{Network, Place};
use crate::node::{Death, Node, Process};
use crate::operator::Operator;
use crate::plan::Plan;
use crate::random::Random;
use crate::schedule::Schedule;
use crate::snapshots::Snapshots;
use crate::time::{SimTime, millis, seconds};
use crate::tolerance::Losses;
use crate::trace::{Trace, Tracing};
use crate::wall_clocks::WallClocks;
use doug_storage::simulation::put_in;

/// A whole run.
pub struct World {
    pub(crate) cx: Context,
    pub(crate) nodes: Vec<Node>,
    pub(crate) faults: Faults,
    pub(crate) operator: Operator,
    pub(crate) clients: Vec<Client>,
    pub(crate) library: Library,
    pub(crate) snapshots: Snapshots,
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
            now: SimTime::ZERO,
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
        cx.checks.may_give_up_history = cx.plan.volume_room.is_some();
        let mut nodes: Vec<_> =
            (0..cx.database.nodes()).map(|index| Node::new(index, &cx)).collect();
        nodes.iter().for_each(|node| cx.crash_points.place(node.index, &node.disk));
        crate::upgrades::begin(&mut nodes, &mut cx);
        let mut clients: Vec<_> =
            (0..cx.plan.workload.clients).map(|index| Client::new(index, &cx)).collect();
        for node in 0..nodes.len() {
            let at = SimTime::ZERO + cx.random.duration_below(millis(100));
            cx.schedule.add(at, Event::Start { node });
        }
        clients.iter_mut().for_each(|client| client.begin(&mut cx));
        let library = Library::begin(&mut cx);
        cx.schedule.add(SimTime::ZERO + seconds(1), Event::Compare);
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

    /// What has been counted.
    pub fn coverage(&self) -> &Coverage {
        &self.cx.coverage
    }

    /// What has happened.
    pub fn trace(&self) -> &Trace {
        &self.cx.trace
    }

    /// Simulated time.
    pub fn now(&self) -> SimTime {
        self.cx.now
    }

    /// Runs the plan to its end: clients and faults, then calm, then judgement.
    ///
    /// # Errors
    /// The first promise that was broken.
    pub fn run(&mut self) -> Result<Judged, Violation> {
        self.run_until(SimTime::ZERO + self.cx.plan.duration)?;
        self.recover()
    }

    /// Lets time pass.
    ///
    /// # Errors
    /// A promise broken on the way.
    pub fn run_until(&mut self, until: SimTime) -> Result<(), Violation> {
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
                self.cx.trace.count([self.cx.now.as_micros(), 3, client as u64, 0]);
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
        self.cx.trace.count([self.cx.now.as_micros(), 1, node as u64, event.number()]);
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

    fn arrive(
        &mut self,
        node: usize,
        sent: (Place, SimTime),
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
        self.cx.trace.count([self.cx.now.as_micros(), 2, node as u64, arrival.digest()]);
        self.cx.trace.detail(self.cx.now, || format!("{} hears {arrival}", slot.name));
        process.slow_disk = slot.slow_disk;
        self.cx.crash_points.enter(node);
        let handled = process.arrive(*arrival, &mut self.cx);
        self.handled(node, handled)
    }

    pub(crate) fn tell(&mut self, line: &str) {
        self.cx.trace.tell(self.cx.now, line);
    }
}
