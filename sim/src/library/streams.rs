//! Streams between programs and servers, as TCP carries them: in order, what is lost sent
//! again, silent while nothing passes, broken by a reset, by a process that ended, or by
//! pings that stay unanswered.

use super::LibraryEvent;
use super::transport::{StreamId, Told};
use crate::context::Context;
use crate::events::Event;
use crate::network::Place;
use crate::random::Random;
use crate::time::{SimTime, micros, millis, seconds};
use doug_proto::v1::{StreamRequest, WatchMapRequest};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// A connection is given up that was not accepted after so long.
const CONNECT: Duration = seconds(2);
/// A ping is sent this often, and waits this long for anything at all to be heard.
const PING: Duration = seconds(2);
const PING_PATIENCE: Duration = seconds(2);
/// What is lost is sent again after so long, and then each time after twice as long.
const RESEND: Duration = millis(200);
const RESEND_MOST: Duration = millis(1_600);

/// What travels on a stream.
#[derive(Debug)]
pub enum Packet {
    /// The client's: may I?
    Connect,
    /// The server's: yes.
    Accept,
    /// The server's: nobody listens here.
    Refuse,
    /// The client's: the call itself.
    Call,
    /// The server's: it takes the call up.
    Begin,
    /// Operations.
    Request(StreamRequest),
    /// What the server says.
    Told(Told),
    /// The client's.
    Ping,
    /// The server's.
    Pong,
    /// Either's: it is over.
    End,
}

/// What happens on a stream.
#[derive(Debug)]
pub enum StreamEvent {
    /// The next packet arrives.
    Arrives {
        /// At the server.
        up: bool,
    },
    /// What was lost is sent again.
    Resend {
        /// To the server.
        up: bool,
    },
    /// The client has waited for its connection long enough.
    ConnectTimeout,
    /// The client sees whether the server is still there.
    Ping,
    /// The client's ping should have been answered.
    PingTimeout {
        /// When it was sent.
        sent: SimTime,
    },
}

/// One direction.
#[derive(Debug, Default)]
struct Pipe {
    on_way: VecDeque<Packet>,
    stalled: VecDeque<Packet>,
    last: SimTime,
    resend: Duration,
}

/// One end.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// Where.
    pub place: Place,
    /// Which process, counted by place.
    pub life: u64,
    open: bool,
}

#[derive(Debug)]
struct Stream {
    client: End,
    server: End,
    watch: Option<WatchMapRequest>,
    connected: bool,
    heard: SimTime,
    up: Pipe,
    down: Pipe,
}

/// All streams.
#[derive(Debug)]
pub struct Streams {
    streams: BTreeMap<StreamId, Stream>,
    random: Random,
}

/// What has arrived where.
#[derive(Debug)]
pub enum Arrived {
    /// At the server.
    Up {
        /// Where.
        end: End,
        /// From where.
        client: End,
        /// A watch of the map.
        watch: Option<WatchMapRequest>,
        /// What.
        packet: Packet,
    },
    /// At the client.
    Down {
        /// Where.
        end: End,
        /// What.
        packet: Packet,
    },
    /// The client's end broke, and why.
    Broke(End, String),
    /// No connection came to be.
    Refused(End, String),
    /// Nothing that anybody sees.
    Nothing,
}

impl Streams {
    /// None yet.
    pub fn new(random: Random) -> Self {
        Self { streams: BTreeMap::new(), random }
    }

    /// A program begins to connect.
    pub fn open(
        &mut self,
        stream: StreamId,
        client: (Place, u64),
        server: Place,
        watch: Option<WatchMapRequest>,
        cx: &mut Context,
    ) {
        let end = |place, life| End { place, life, open: true };
        let opened = Stream {
            client: end(client.0, client.1),
            // Whoever accepts will say which process it is.
            server: end(server, 0),
            watch,
            connected: false,
            heard: cx.now,
            up: Pipe::default(),
            down: Pipe::default(),
        };
        self.streams.insert(stream, opened);
        self.send(stream, true, Packet::Connect, cx);
        schedule(stream, CONNECT, StreamEvent::ConnectTimeout, cx);
    }

    /// Sends a packet to the server (`up`) or to the client.
    pub fn send(&mut self, stream: StreamId, up: bool, packet: Packet, cx: &mut Context) {
        let Some(known) = self.streams.get_mut(&stream) else { return };
        let link = known.link(up);
        let pipe = known.pipe(up);
        pipe.stalled.push_back(packet);
        if pipe.stalled.len() == 1 {
            pipe.resend = RESEND;
            flush(stream, pipe, link, up, cx);
        }
    }

    /// Something happens on a stream.
    pub fn step(&mut self, stream: StreamId, event: StreamEvent, cx: &mut Context) -> Arrived {
        let Some(known) = self.streams.get_mut(&stream) else { return Arrived::Nothing };
        match event {
            StreamEvent::Arrives { up } => self.arrives(stream, up, cx),
            StreamEvent::Resend { up } => {
                let link = known.link(up);
                let pipe = known.pipe(up);
                pipe.resend = (pipe.resend * 2).min(RESEND_MOST);
                flush(stream, pipe, link, up, cx);
                Arrived::Nothing
            }
            StreamEvent::ConnectTimeout if known.connected => Arrived::Nothing,
            StreamEvent::ConnectTimeout => {
                let client = known.client;
                self.streams.remove(&stream);
                Arrived::Refused(client, "the connection timed out".to_owned())
            }
            StreamEvent::Ping if !known.client.open => Arrived::Nothing,
            StreamEvent::Ping => {
                schedule(stream, PING, StreamEvent::Ping, cx);
                let sent = cx.now;
                schedule(stream, PING_PATIENCE, StreamEvent::PingTimeout { sent }, cx);
                self.send(stream, true, Packet::Ping, cx);
                Arrived::Nothing
            }
            StreamEvent::PingTimeout { sent } if known.heard >= sent || !known.client.open => {
                Arrived::Nothing
            }
            StreamEvent::PingTimeout { .. } => {
                cx.coverage.hit("stream without answers to pings");
                let client = known.client;
                self.close(stream, cx);
                Arrived::Broke(client, "keep-alive timed out".to_owned())
            }
        }
    }

    fn arrives(&mut self, stream: StreamId, up: bool, cx: &mut Context) -> Arrived {
        let Some(known) = self.streams.get_mut(&stream) else { return Arrived::Nothing };
        let Some(packet) = known.pipe(up).on_way.pop_front() else { return Arrived::Nothing };
        if up {
            let (end, client, watch) = (known.server, known.client, known.watch.clone());
            if let Packet::End = packet {
                known.server.open = false;
                self.tidy(stream);
            }
            return match (end.open, packet) {
                (true, packet) => Arrived::Up { end, client, watch, packet },
                (false, Packet::End) => Arrived::Nothing,
                // The port of a process that ended resets whoever goes on.
                (false, _) => {
                    self.send(stream, false, Packet::End, cx);
                    Arrived::Nothing
                }
            };
        }
        if !known.client.open {
            return Arrived::Nothing;
        }
        known.heard = cx.now;
        let end = known.client;
        match packet {
            Packet::End => {
                known.client.open = false;
                self.tidy(stream);
                Arrived::Broke(end, "connection reset by peer".to_owned())
            }
            Packet::Refuse => {
                self.streams.remove(&stream);
                Arrived::Refused(end, "connection refused".to_owned())
            }
            Packet::Accept => {
                known.connected = true;
                let first = self.random.duration_below(PING);
                schedule(stream, first, StreamEvent::Ping, cx);
                Arrived::Down { end, packet: Packet::Accept }
            }
            packet => Arrived::Down { end, packet },
        }
    }

    /// A process says something, unless its end was closed meanwhile.
    pub fn tell(&mut self, stream: StreamId, life: u64, packet: Packet, cx: &mut Context) {
        let server = self.streams.get(&stream).map(|known| known.server);
        if server.is_some_and(|server| server.open && server.life == life) {
            self.send(stream, false, packet, cx);
        }
    }

    /// The process at the server's end has accepted.
    pub fn accept(&mut self, stream: StreamId, life: u64, cx: &mut Context) {
        if let Some(known) = self.streams.get_mut(&stream) {
            known.server.life = life;
        }
        self.send(stream, false, Packet::Accept, cx);
    }

    /// The client closes its end. What is on its way arrives all the same.
    pub fn close(&mut self, stream: StreamId, cx: &mut Context) {
        let Some(known) = self.streams.get_mut(&stream) else { return };
        if !known.connected {
            self.streams.remove(&stream);
            return;
        }
        if std::mem::replace(&mut known.client.open, false) {
            known.up.stalled.clear();
            self.send(stream, true, Packet::End, cx);
        }
        self.tidy(stream);
    }

    fn tidy(&mut self, stream: StreamId) {
        let over = |known: &Stream| !known.client.open && !known.server.open;
        if self.streams.get(&stream).is_some_and(over) {
            self.streams.remove(&stream);
        }
    }

    /// A process ended. Unless its machine did too, whoever speaks with it is told.
    pub fn process_ended(&mut self, place: Place, machine: bool, cx: &mut Context) {
        let of = |known: &Stream| known.server.place == place && known.server.open;
        let served: Vec<_> =
            self.streams.iter().filter(|(_, s)| of(s)).map(|(id, _)| *id).collect();
        for stream in served {
            let Some(known) = self.streams.get_mut(&stream) else { continue };
            if !known.connected && known.down.is_empty() {
                // It was not accepted: whoever runs when it arrives answers.
                continue;
            }
            known.server.open = false;
            known.down.stalled.clear();
            if !machine {
                self.send(stream, false, Packet::End, cx);
            }
            self.tidy(stream);
        }
        let of = |known: &Stream| known.client.place == place && known.client.open;
        let opened: Vec<_> =
            self.streams.iter().filter(|(_, s)| of(s)).map(|(id, _)| *id).collect();
        opened.into_iter().for_each(|stream| self.close(stream, cx));
    }

    /// A stream that exists, drawn from all.
    pub fn any(&self, random: &mut Random) -> Option<StreamId> {
        let turn = random.below(self.streams.len() as u64) as usize;
        self.streams.keys().nth(turn).copied()
    }

    /// Breaks a stream at both ends, with all that is on its way. The ends that had not
    /// heard of its end before.
    pub fn reset(&mut self, stream: StreamId) -> Vec<End> {
        if self.streams.get(&stream).is_none_or(|known| !known.connected) {
            return Vec::new();
        }
        let known = self.streams.remove(&stream);
        known.into_iter().flat_map(|s| [s.client, s.server]).filter(|end| end.open).collect()
    }

    /// Delays what has just arrived at a process that stands still.
    pub fn put_back(
        &mut self,
        stream: StreamId,
        up: bool,
        packet: Packet,
        at: SimTime,
        cx: &mut Context,
    ) {
        let Some(known) = self.streams.get_mut(&stream) else { return };
        known.pipe(up).on_way.push_front(packet);
        cx.schedule.add(at, stream_event(stream, StreamEvent::Arrives { up }));
    }
}

impl Pipe {
    fn is_empty(&self) -> bool {
        self.on_way.is_empty() && self.stalled.is_empty()
    }
}

impl Stream {
    fn link(&self, up: bool) -> (Place, Place) {
        let (client, server) = (self.client.place, self.server.place);
        if up { (client, server) } else { (server, client) }
    }

    fn pipe(&mut self, up: bool) -> &mut Pipe {
        if up { &mut self.up } else { &mut self.down }
    }
}

fn schedule(stream: StreamId, delay: Duration, event: StreamEvent, cx: &mut Context) {
    cx.after(delay, stream_event(stream, event));
}

fn stream_event(stream: StreamId, event: StreamEvent) -> Event {
    Event::Library(LibraryEvent::Stream { stream, event })
}

/// Sends what waits, in order, until something is lost.
fn flush(
    stream: StreamId,
    pipe: &mut Pipe,
    (from, to): (Place, Place),
    up: bool,
    cx: &mut Context,
) {
    while let Some(packet) = pipe.stalled.pop_front() {
        let [first, _] = cx.network.send(cx.now, from, to);
        let Some(at) = first else {
            pipe.stalled.push_front(packet);
            schedule(stream, pipe.resend, StreamEvent::Resend { up }, cx);
            return;
        };
        pipe.last = at.max(pipe.last + micros(1));
        pipe.on_way.push_back(packet);
        cx.schedule.add(pipe.last, stream_event(stream, StreamEvent::Arrives { up }));
    }
}
