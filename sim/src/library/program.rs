//! A process that runs the client library: a client, or a facade.

use super::executor::Executor;
use super::facade::Facade;
use super::streams::{Packet, Streams};
use super::transport::{Command, Simulated, StreamId, Wire};
use super::{LibraryEvent, place_of};
use crate::context::Context;
use crate::events::Event;
use crate::network::Place;
use crate::random::Random;
use crate::time::SimTime;
use doug_client::{Builder, Client};
use std::sync::Arc;

/// Streams of one process are named from its number and its life on.
const PLACE_BITS: u32 = 48;
const LIFE_BITS: u32 = 24;

/// One process, and what outlives it.
pub struct Program {
    /// Its number.
    pub index: usize,
    /// Where it is.
    pub place: Place,
    /// Its name in the story.
    pub name: String,
    /// Counts its processes.
    pub life: u64,
    /// It stands still until then.
    pub paused_until: SimTime,
    /// The running one.
    pub running: Option<Running>,
    /// When it is to be run next.
    due: Option<SimTime>,
    random: Random,
}

/// A running process.
pub struct Running {
    /// Its tasks.
    pub executor: Executor,
    /// Its streams.
    pub wire: Wire,
    /// What it is, if not a client alone.
    pub facade: Option<Facade>,
}

impl Program {
    /// One that does not run yet.
    pub fn new(index: usize, place: Place, name: String, random: Random) -> Self {
        let (life, paused_until) = (0, SimTime::ZERO);
        Self { index, place, name, life, paused_until, running: None, due: None, random }
    }

    /// Begins a process with nothing to do, and the settings that its clients need.
    pub fn start(&mut self) -> (&mut Running, Builder) {
        self.life += 1;
        self.due = None;
        let first = ((self.place as u64 + 1) << PLACE_BITS) | (self.life << LIFE_BITS);
        let wire = Wire::new(first as StreamId);
        let executor = Executor::new(Random::new(self.random.next()));
        let transport = Simulated { wire: wire.clone(), clock: executor.clock() };
        let builder = Client::builder()
            .runtime(Arc::new(executor.clock()))
            .transport(Arc::new(transport))
            .seed(self.random.next());
        let running = self.running.insert(Running { executor, wire, facade: None });
        (running, builder)
    }

    /// Lets the process do whatever it can now. What it asks of the network is begun.
    pub fn drive(&mut self, streams: &mut Streams, cx: &mut Context) {
        if self.paused_until > cx.now {
            return self.run_at(self.paused_until, cx);
        }
        let Some(running) = &mut self.running else { return };
        running.executor.run(cx.now);
        for command in running.wire.commands() {
            match command {
                Command::Open { stream, address, watch } => match place_of(&address, cx) {
                    Some(server) => {
                        streams.open(stream, (self.place, self.life), server, watch, cx);
                    }
                    None => running.wire.refused(stream, "no such host".to_owned()),
                },
                Command::Send { stream, request } => {
                    streams.send(stream, true, Packet::Request(request), cx);
                }
                Command::Close { stream } => streams.close(stream, cx),
            }
        }
        for (stream, packet) in running.facade.iter().flat_map(Facade::said) {
            streams.tell(stream, self.life, packet, cx);
        }
        if let Some(next) = running.executor.next_timer() {
            self.run_at(next, cx);
        }
    }

    /// Has it run at `at`, unless it runs before anyway.
    pub fn run_at(&mut self, at: SimTime, cx: &mut Context) {
        let at = at.max(cx.now);
        if self.due.is_none_or(|due| at < due) {
            self.due = Some(at);
            let (program, life) = (self.index, self.life);
            cx.schedule.add(at, Event::Library(LibraryEvent::Run { program, life }));
        }
    }

    /// Its time has come.
    pub fn due(&mut self, now: SimTime) {
        if self.due.is_some_and(|due| due <= now) {
            self.due = None;
        }
    }

    /// The process ends.
    pub fn end(&mut self) {
        self.running = None;
        self.due = None;
        self.paused_until = SimTime::ZERO;
    }
}
