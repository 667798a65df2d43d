//! What everybody in a simulation shares: time, chance, links, trace, checkers.

use crate::calls::{Call, Caller, Said};
use crate::checks::Checks;
use crate::coverage::Coverage;
use crate::crash_points::CrashPoints;
use crate::database::Database;
use crate::events::{Arrival, ClientEvent, Event, Hello, InFlight, MapTalk, Refusal};
use crate::history::Answer;
use crate::library::NodeAnswer;
use crate::network::{Network, Place};
use crate::operator::OperatorEvent;
use crate::plan::Plan;
use crate::random::Random;
use crate::schedule::Schedule;
use crate::time::SimTime;
use crate::tolerance::Losses;
use crate::trace::Trace;
use crate::wall_clocks::WallClocks;
use doug_node::host::SendSnapshot;
use doug_proto::ids::NodeId;
use doug_proto::v1;
use std::time::Duration;

/// Shared by nodes and clients.
#[derive(Debug)]
pub struct Context {
    /// Simulated time.
    pub now: SimTime,
    /// What is to come.
    pub schedule: Schedule<Event>,
    /// Durations of work inside nodes.
    pub random: Random,
    /// The record.
    pub trace: Trace,
    /// What the nodes' wall clocks show.
    pub wall_clocks: WallClocks,
    /// The links.
    pub network: Network,
    /// The checkers.
    pub checks: Checks,
    /// The counts.
    pub coverage: Coverage,
    /// What the seed decided.
    pub plan: Plan,
    /// Who holds what.
    pub database: Database,
    /// Where nodes crash.
    pub crash_points: CrashPoints,
    /// What disks have lost.
    pub losses: Losses,
    /// Snapshots that nodes want sent.
    pub wanted_snapshots: Vec<WantedSnapshot>,
    /// What nodes have answered to the library.
    pub node_answers: Vec<NodeAnswer>,
}

/// A snapshot that a node's host asked for.
#[derive(Clone, Copy, Debug)]
pub struct WantedSnapshot {
    /// The sender.
    pub node: usize,
    /// Its process.
    pub life: u64,
    /// The host that asked.
    pub host: usize,
    /// What to send.
    pub snapshot: SendSnapshot,
}

impl Context {
    /// Schedules an event for so long from now.
    pub fn after(&mut self, delay: Duration, event: Event) {
        self.schedule.add(self.now + delay, event);
    }

    /// Sends a peer what a host has to say to it.
    pub fn send_turn(
        &mut self,
        (from, from_id, hello): (usize, NodeId, Hello),
        to_id: NodeId,
        turn: v1::PeerTurn,
    ) {
        let Some(to) = self.database.index_of(to_id) else { return };
        let [first, second] = self.network.send(self.now, from, to);
        if let Some(at) = second {
            let arrival = Arrival::Turn { from: from_id, to: to_id, hello, turn: turn.clone() };
            self.schedule.add(
                at,
                Event::Arrival { node: to, sent: (from, self.now), arrival: Box::new(arrival) },
            );
        }
        if let Some(at) = first {
            let arrival = Arrival::Turn { from: from_id, to: to_id, hello, turn };
            self.schedule.add(
                at,
                Event::Arrival { node: to, sent: (from, self.now), arrival: Box::new(arrival) },
            );
        }
    }

    /// Calls a service of a node. Calls go over streams that nothing duplicates.
    pub fn call(&mut self, from: Place, to_id: NodeId, caller: Caller, call: Call) {
        let Some(to) = self.database.index_of(to_id) else { return };
        let [first, _] = self.network.send(self.now, from, to);
        if let Some(at) = first {
            let arrival = Box::new(Arrival::Call { to: to_id, caller, call: Box::new(call) });
            self.schedule.add(at, Event::Arrival { node: to, sent: (from, self.now), arrival });
        }
    }

    /// Answers a call.
    pub fn say(&mut self, node: usize, caller: Caller, said: Said) {
        let place = match caller {
            Caller::Node => return,
            Caller::Operator(_) => self.operator_place(),
            Caller::Client(client) => self.client_place(client),
        };
        let [first, _] = self.network.send(self.now, node, place);
        let Some(at) = first else { return };
        let event = match (caller, said) {
            (Caller::Operator(number), said) => {
                Event::Operator(OperatorEvent::Answer { number, node, said: Box::new(said) })
            }
            (Caller::Client(client), Said::Map(map)) => {
                Event::Client { client, event: ClientEvent::Map(map) }
            }
            (Caller::Client(_) | Caller::Node, _) => return,
        };
        self.schedule.add(at, event);
    }

    /// Tells a peer about the map.
    pub fn send_map(&mut self, from: usize, talk: MapTalk) {
        let Some(to) = self.database.index_of(talk.to) else { return };
        let [first, _] = self.network.send(self.now, from, to);
        if let Some(at) = first {
            let arrival = Box::new(Arrival::Map(Box::new(talk)));
            self.schedule.add(at, Event::Arrival { node: to, sent: (from, self.now), arrival });
        }
    }

    /// The operator's place in the network.
    pub fn operator_place(&self) -> Place {
        self.database.nodes() + self.plan.workload.clients
    }

    /// A client's place in the network.
    pub fn client_place(&self, client: usize) -> Place {
        self.database.nodes() + client
    }

    /// The place of a program that runs the library.
    pub fn program_place(&self, program: usize) -> Place {
        self.operator_place() + 1 + program
    }

    /// Answers a client.
    pub fn reply(&mut self, node: usize, request: InFlight, result: Result<Answer, Refusal>) {
        let InFlight { client, slot, operation, attempt } = request;
        let place = self.client_place(client);
        let [first, _] = self.network.send(self.now, node, place);
        if let Some(at) = first {
            let result = Box::new(result);
            let event = ClientEvent::Reply { slot, operation, attempt, server: node, result };
            self.schedule.add(at, Event::Client { client, event });
        }
    }
}
