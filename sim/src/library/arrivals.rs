//! What arrives at the ends of streams: at nodes, at facades, at the programs that called them.

use super::streams::{Arrived, End, Packet};
use super::transport::Told;
use super::{Library, StreamId, program};
use crate::checks::Violation;
use crate::context::Context;
use crate::network::Place;
use crate::node::Node;
use doug_proto::map::MapTeller;
use doug_proto::v1::{StreamAnswer, StreamResponse, WatchMapRequest};

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

impl Library {
    pub(super) fn arrived(
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

    pub(super) fn program_at(&self, place: Place) -> usize {
        place - self.programs[0].place
    }

    /// The process at an end, if it is still the one.
    pub(super) fn running(&mut self, end: End) -> Option<(usize, &mut program::Running)> {
        let index = self.program_at(end.place);
        let program = self.programs.get_mut(index)?;
        let is_it = program.life == end.life;
        program.running.as_mut().filter(|_| is_it).map(|running| (index, running))
    }
}
