//! The client library and the facade that ship, in simulated processes: their tasks run on
//! simulated time (`executor`), their streams over the simulated network (`streams`).

mod arrivals;
mod client;
mod executor;
mod facade;
mod faults;
mod operations;
mod plan;
mod program;
mod streams;
mod transport;
mod watcher;

use crate::time::millis;
pub use arrivals::NodeAnswer;
pub use facade::MapFrom;
pub use operations::Page;
pub use plan::LibraryPlan;
pub use streams::StreamEvent;
pub use transport::StreamId;

use crate::checks::{Violation, WatchId};
use crate::context::Context;
use crate::events::Event;
use crate::network::Place;
use crate::node::Node;
use crate::random::Random;
use client::Caller;
use doug_client::{Client, Range};
use doug_proto::map::{MapTeller, PartitionMap};
use facade::Facade;
use futures::future::FutureExt;
use program::Program;
use std::collections::BTreeMap;
use std::sync::Arc;
use streams::Streams;

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
            let delay = library.random.duration_below(millis(100));
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
        let builder = builder.sessions(sessions).track_session(true).timeout(client::DEADLINE);
        let client: Client = (builder.connect().now_or_never())
            .and_then(Result::ok)
            .expect("no network is needed to make a client");
        let number = cx.plan.workload.clients + index;
        let mut caller = Caller::new(number, index, client, cx);
        caller.begin(cx);
        if let Some(running) = &self.programs[index].running {
            caller.watch(running, cx);
        }
        self.callers.push(caller);
        self.programs[index].run_at(cx.now, cx);
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
                cx.trace.count([cx.now.as_micros(), 5, program as u64, life]);
                if self.programs[program].life == life {
                    self.programs[program].due(cx.now);
                    self.drive(program, cx)?;
                }
                Ok(())
            }
            LibraryEvent::Ask { client, slot } => {
                cx.trace.count([cx.now.as_micros(), 6, client as u64, slot as u64]);
                if let Some(running) = &self.programs[client].running {
                    self.callers[client].ask(slot, running, cx);
                }
                self.drive(client, cx)
            }
            LibraryEvent::Stream { stream, event } => {
                cx.trace.count([cx.now.as_micros(), 7, stream, 0]);
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
        cx.after(millis(500), Event::Library(LibraryEvent::Observe { program }));
        let process = self.random.pick(nodes).process.as_ref();
        if let Some(map) = process.and_then(|process| process.map().cloned()) {
            let delay = self.random.duration_below(behind);
            cx.after(delay, Event::Library(LibraryEvent::Publish { program, map }));
        }
    }

    /// Tells every client to write to and read all once more, and then to rest.
    pub fn rest_after(&mut self, partitions: &[u64]) {
        self.callers.iter_mut().for_each(|caller| caller.rest_after(partitions));
    }

    /// What a client's watch is about.
    pub fn watched(&self, (client, number): WatchId) -> Option<Range> {
        let caller = self.callers.iter().find(|caller| caller.index == client)?;
        caller.watched(number).cloned()
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
