//! The client library and the facade that ship, in simulated processes: their tasks run on
//! simulated time (`executor`), their streams over the simulated network (`streams`).

mod client;
mod executor;
mod facade;
mod faults;
mod operations;
mod program;
mod streams;
mod transport;

pub use facade::MapFrom;
pub use operations::Page;
pub use streams::StreamEvent;
pub use transport::StreamId;

use crate::checks::Violation;
use crate::context::Context;
use crate::events::Event;
use crate::network::Place;
use crate::node::Node;
use crate::random::Random;
use client::Caller;
use doug_client::Client;
use doug_proto::map::MapTeller;
use doug_proto::map::PartitionMap;
use doug_proto::v1::{StreamAnswer, StreamResponse, WatchMapRequest};
use facade::Facade;
use futures::future::FutureExt;
use program::Program;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use streams::{Arrived, End, Packet, Streams};
use transport::Told;

/// Which clients run the library, and the facades there are.
#[derive(Clone, Debug, Default)]
pub struct LibraryPlan {
    /// Clients that go straight to the nodes.
    pub direct: usize,
    /// Clients that go through the facades.
    pub through_facades: usize,
    /// Where each facade has its map from.
    pub facades: Vec<MapFrom>,
}

impl LibraryPlan {
    /// How many clients run the library.
    pub fn clients(&self) -> usize {
        self.direct + self.through_facades
    }

    /// How many processes do.
    pub fn programs(&self) -> usize {
        self.clients() + self.facades.len()
    }

    /// Takes some of `clients` over, and maybe puts facades in between.
    pub fn draw(clients: usize, random: &mut Random) -> Self {
        let mut plan = Self::default();
        for _ in 0..clients {
            match random.below(4) {
                0 => plan.direct += 1,
                1 => plan.through_facades += 1,
                _ => {}
            }
        }
        if plan.through_facades > 0 {
            let facade = |_| {
                if random.chance(500) {
                    MapFrom::Nodes
                } else {
                    MapFrom::Status(random.between(100_000, 3_000_000))
                }
            };
            plan.facades = (0..=plan.through_facades.min(2) / 2).map(facade).collect();
        }
        plan
    }
}

/// What happens around the library.
#[derive(Debug)]
pub enum LibraryEvent {
    /// A timer of a program's process is due.
    Run {
        /// Which.
        program: usize,
        /// Its process.
        life: u64,
    },
    /// A client asks something.
    Ask {
        /// Its program.
        client: usize,
        /// Where.
        slot: usize,
    },
    /// On a stream.
    Stream {
        /// Which.
        stream: StreamId,
        /// What.
        event: StreamEvent,
    },
    /// A facade is started.
    Start {
        /// Its program.
        program: usize,
    },
    /// An operator reads a map from a node and writes it into the status.
    Observe {
        /// The facade's program that sees it.
        program: usize,
    },
    /// A facade sees the status.
    Publish {
        /// Its program.
        program: usize,
        /// What it says.
        map: Arc<PartitionMap>,
    },
}

/// An answer of a node, for a stream.
#[derive(Debug)]
pub struct NodeAnswer {
    /// The node's place.
    pub node: Place,
    /// Its process.
    pub life: u64,
    /// The stream.
    pub stream: StreamId,
    /// The answer.
    pub answer: StreamAnswer,
}

/// All programs that run the library, and their streams.
pub struct Library {
    /// Clients first, then facades.
    programs: Vec<Program>,
    callers: Vec<Caller>,
    streams: Streams,
    /// Watches of nodes' maps.
    watches: BTreeMap<(Place, StreamId), MapTeller>,
    random: Random,
}

/// A facade's address.
fn facade_address(number: usize) -> String {
    format!("facade-{number}:7400")
}

/// Who listens there.
fn place_of(address: &str, cx: &Context) -> Option<Place> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    match host.strip_prefix("facade-") {
        Some(number) => {
            let facade = number.parse::<usize>().ok()?;
            Some(cx.program_place(cx.plan.library.clients() + facade))
        }
        None => cx.database.place_of(host),
    }
}

/// Every node's address.
fn node_addresses(cx: &Context) -> Vec<String> {
    cx.database.map.nodes.iter().map(|node| node.doug_address()).collect()
}

impl Library {
    /// All programs begin.
    pub fn begin(cx: &mut Context) -> Self {
        let plan = cx.plan.library.clone();
        let seed = cx.plan.seed;
        let program = |index: usize| {
            let name = match index.checked_sub(plan.clients()) {
                Some(facade) => format!("facade-{facade}"),
                None => format!("client {}", cx.plan.workload.clients + index),
            };
            let random = Random::for_purpose(seed, 4_000 + index as u64);
            Program::new(index, cx.program_place(index), name, random)
        };
        let programs = (0..plan.programs()).map(program).collect();
        let mut library = Self {
            programs,
            callers: Vec::new(),
            streams: Streams::new(Random::for_purpose(seed, 9)),
            watches: BTreeMap::new(),
            random: Random::for_purpose(seed, 7),
        };
        for index in 0..plan.clients() {
            library.begin_client(index, cx);
        }
        for (number, from) in plan.facades.iter().enumerate() {
            let program = plan.clients() + number;
            let delay = library.random.below(100_000);
            cx.after(delay, Event::Library(LibraryEvent::Start { program }));
            if let MapFrom::Status(_) = from {
                cx.after(delay, Event::Library(LibraryEvent::Observe { program }));
            }
        }
        library
    }

    fn begin_client(&mut self, index: usize, cx: &mut Context) {
        let plan = cx.plan.library.clone();
        let (_, builder) = self.programs[index].start();
        let builder = if index < plan.direct {
            builder.endpoints(node_addresses(cx)).direct_from_endpoints()
        } else {
            builder.endpoints((0..plan.facades.len()).map(facade_address))
        };
        let sessions = self.random.chance(cx.plan.workload.sessions);
        let builder = builder
            .sessions(sessions)
            .track_session(true)
            .timeout(Duration::from_micros(client::DEADLINE));
        let client: Client = (builder.connect().now_or_never())
            .and_then(Result::ok)
            .expect("no network is needed to make a client");
        let number = cx.plan.workload.clients + index;
        let mut caller = Caller::new(number, index, client, cx);
        caller.begin(cx);
        self.callers.push(caller);
    }

    /// Something happens.
    ///
    /// # Errors
    /// A promise that the library breaks.
    pub fn handle(
        &mut self,
        event: LibraryEvent,
        nodes: &mut [Node],
        cx: &mut Context,
    ) -> Result<(), Violation> {
        match event {
            LibraryEvent::Run { program, life } => {
                cx.trace.count([cx.now, 5, program as u64, life]);
                if self.programs[program].life == life {
                    self.programs[program].due(cx.now);
                    self.drive(program, cx)?;
                }
                Ok(())
            }
            LibraryEvent::Ask { client, slot } => {
                cx.trace.count([cx.now, 6, client as u64, slot as u64]);
                if let Some(running) = &self.programs[client].running {
                    self.callers[client].ask(slot, running, cx);
                }
                self.drive(client, cx)
            }
            LibraryEvent::Stream { stream, event } => {
                cx.trace.count([cx.now, 7, stream, 0]);
                let arrived = self.streams.step(stream, event, cx);
                self.arrived(stream, arrived, nodes, cx)
            }
            LibraryEvent::Start { program } => {
                self.start_facade(program, cx);
                self.drive(program, cx)
            }
            LibraryEvent::Observe { program } => {
                self.observe(program, nodes, cx);
                Ok(())
            }
            LibraryEvent::Publish { program, map } => {
                let running = self.programs[program].running.as_ref();
                if let Some(facade) = running.and_then(|running| running.facade.as_ref()) {
                    facade.publish(&map);
                }
                self.drive(program, cx)
            }
        }
    }

    /// Lets a program do what it can, and its client take in what came of it.
    fn drive(&mut self, program: usize, cx: &mut Context) -> Result<(), Violation> {
        self.programs[program].drive(&mut self.streams, cx);
        match self.callers.get_mut(program) {
            Some(caller) => caller.take_reports(cx),
            None => Ok(()),
        }
    }

    fn arrived(
        &mut self,
        stream: StreamId,
        arrived: Arrived,
        nodes: &mut [Node],
        cx: &mut Context,
    ) -> Result<(), Violation> {
        match arrived {
            Arrived::Nothing => Ok(()),
            Arrived::Up { end, client, watch, packet } => {
                if let Packet::Request(_) = packet
                    && let Some((program, running)) = self.running(client)
                {
                    running.wire.arrived(stream);
                    self.drive(program, cx)?;
                }
                if end.place < nodes.len() {
                    self.at_node(stream, (end, watch), packet, &mut nodes[end.place], cx);
                } else {
                    self.at_facade(stream, (end, watch), packet, cx)?;
                }
                Ok(())
            }
            Arrived::Down { end, packet } => {
                let program = self.program_at(end.place);
                let paused_until = self.programs[program].paused_until;
                if paused_until > cx.now {
                    self.streams.put_back(stream, false, packet, paused_until, cx);
                    return Ok(());
                }
                let Some((program, running)) = self.running(end) else { return Ok(()) };
                match packet {
                    Packet::Accept => {
                        running.wire.connected(stream);
                        self.streams.send(stream, true, Packet::Call, cx);
                    }
                    Packet::Begin => running.wire.begun(stream),
                    Packet::Told(told) => running.wire.told(stream, told),
                    _ => {}
                }
                self.drive(program, cx)
            }
            Arrived::Broke(end, why) => {
                cx.coverage.hit("library stream broke");
                let Some((program, running)) = self.running(end) else { return Ok(()) };
                running.wire.broke(stream, why);
                self.drive(program, cx)
            }
            Arrived::Refused(end, why) => {
                cx.coverage.hit("library connection refused");
                let Some((program, running)) = self.running(end) else { return Ok(()) };
                running.wire.refused(stream, why);
                self.drive(program, cx)
            }
        }
    }

    fn program_at(&self, place: Place) -> usize {
        place - self.programs[0].place
    }

    /// The process at an end, if it is still the one.
    fn running(&mut self, end: End) -> Option<(usize, &mut program::Running)> {
        let index = self.program_at(end.place);
        let program = self.programs.get_mut(index)?;
        let is_it = program.life == end.life;
        program.running.as_mut().filter(|_| is_it).map(|running| (index, running))
    }

    fn at_node(
        &mut self,
        stream: StreamId,
        (end, watch): (End, Option<WatchMapRequest>),
        packet: Packet,
        node: &mut Node,
        cx: &mut Context,
    ) {
        let life = node.life;
        let Some(process) = node.process.as_mut() else {
            // The port of a process that is gone refuses, that of a machine that is gone is silent.
            if let Packet::Connect = packet
                && self.random.chance(600)
            {
                self.streams.send(stream, false, Packet::Refuse, cx);
            }
            return;
        };
        if let Packet::Connect = packet {
            // The system accepts, even for a process that stands still.
            return self.streams.accept(stream, life, cx);
        }
        if let Packet::End = packet {
            self.watches.remove(&(end.place, stream));
            return;
        }
        if life != end.life {
            return;
        }
        if node.paused_until > cx.now {
            return self.streams.put_back(stream, true, packet, node.paused_until, cx);
        }
        match packet {
            Packet::Call => {
                self.streams.tell(stream, life, Packet::Begin, cx);
                if let Some(request) = watch {
                    self.watches.insert((end.place, stream), MapTeller::new(request));
                    self.tell_map(node, cx);
                }
            }
            Packet::Request(request) => process.take_operations(stream, request, cx),
            Packet::Ping => self.streams.tell(stream, life, Packet::Pong, cx),
            _ => {}
        }
    }

    /// Tells whoever watches a node's map what is new.
    pub fn tell_map(&mut self, node: &Node, cx: &mut Context) {
        let Some(map) = node.process.as_ref().and_then(|process| process.map()) else {
            return;
        };
        let watches = (node.index, 0)..=(node.index, StreamId::MAX);
        for ((_, stream), teller) in self.watches.range_mut(watches) {
            if let Some(news) = teller.tell(map) {
                if news.changes {
                    cx.coverage.hit("a watcher was told what changed of the map");
                }
                self.streams.tell(*stream, node.life, Packet::Told(Told::Map(Box::new(news))), cx);
            }
        }
    }

    fn at_facade(
        &mut self,
        stream: StreamId,
        (end, watch): (End, Option<WatchMapRequest>),
        packet: Packet,
        cx: &mut Context,
    ) -> Result<(), Violation> {
        let index = self.program_at(end.place);
        let program = &mut self.programs[index];
        let (life, paused_until) = (program.life, program.paused_until);
        let Some(running) = program.running.as_mut() else {
            if let Packet::Connect = packet {
                self.streams.send(stream, false, Packet::Refuse, cx);
            }
            return Ok(());
        };
        if let Packet::Connect = packet {
            self.streams.accept(stream, life, cx);
            return Ok(());
        }
        if life != end.life {
            return Ok(());
        }
        if paused_until > cx.now && !matches!(packet, Packet::End) {
            self.streams.put_back(stream, true, packet, paused_until, cx);
            return Ok(());
        }
        let Some(facade) = running.facade.as_mut() else { return Ok(()) };
        match packet {
            Packet::Call => running.executor.spawn(facade.call(stream, watch)),
            Packet::Request(request) => facade.take(stream, request),
            Packet::End => facade.ended(stream),
            Packet::Ping => self.streams.tell(stream, life, Packet::Pong, cx),
            _ => {}
        }
        self.drive(index, cx)
    }

    fn start_facade(&mut self, index: usize, cx: &mut Context) {
        let program = &mut self.programs[index];
        if program.running.is_some() {
            return;
        }
        let from = &cx.plan.library.facades[index - cx.plan.library.clients()];
        Facade::begin(program, from, node_addresses(cx));
        let line = format!("{} starts (process {})", program.name, program.life);
        cx.trace.tell(cx.now, &line);
    }

    /// As an operator on Kubernetes does: it reads what some node says, and writes it into
    /// the resource's status, of which each facade hears when it does.
    fn observe(&mut self, program: usize, nodes: &[Node], cx: &mut Context) {
        let number = program - cx.plan.library.clients();
        let MapFrom::Status(behind) = cx.plan.library.facades[number] else { return };
        cx.after(500_000, Event::Library(LibraryEvent::Observe { program }));
        let process = self.random.pick(nodes).process.as_ref();
        if let Some(map) = process.and_then(|process| process.map().cloned()) {
            let delay = self.random.below(behind);
            cx.after(delay, Event::Library(LibraryEvent::Publish { program, map }));
        }
    }

    /// Carries what nodes have answered.
    pub fn carry(&mut self, answers: Vec<NodeAnswer>, cx: &mut Context) {
        let mut messages: Vec<(Place, u64, StreamId, Vec<StreamAnswer>)> = Vec::new();
        for NodeAnswer { node, life, stream, answer } in answers {
            match messages.last_mut() {
                Some((_, _, last, together)) if *last == stream => together.push(answer),
                _ => messages.push((node, life, stream, vec![answer])),
            }
        }
        for (_, life, stream, answers) in messages {
            let told = Told::Answers(StreamResponse { answers });
            self.streams.tell(stream, life, Packet::Told(told), cx);
        }
    }

    /// A node's process ended, and maybe its machine.
    pub fn node_ended(&mut self, node: Place, machine: bool, cx: &mut Context) {
        self.watches.retain(|(place, _), _| *place != node);
        self.streams.process_ended(node, machine, cx);
    }

    /// Tells every client to write to and read all once more, and then to rest.
    pub fn rest_after(&mut self, partitions: &[u64]) {
        self.callers.iter_mut().for_each(|caller| caller.rest_after(partitions));
    }

    /// Who is not well yet, if anybody.
    pub fn unwell(&self) -> Option<String> {
        let down = self.programs.iter().find(|program| program.running.is_none());
        let restless = self.callers.iter().find(|caller| !caller.rests());
        let restless = restless.map(|caller| {
            format!("client {}, which runs the library, still waits for answers", caller.index)
        });
        down.map(|program| format!("{} is down", program.name)).or(restless)
    }
}
