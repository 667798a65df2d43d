//! What everybody in a simulation shares: time, chance, links, trace, checkers.

use crate::checks::Checks;
use crate::coverage::Coverage;
use crate::crash_points::CrashPoints;
use crate::database::Database;
use crate::events::{Arrival, ClientEvent, Event, InFlight, Refusal};
use crate::history::Answer;
use crate::network::{Network, Place};
use crate::plan::Plan;
use crate::random::Random;
use crate::schedule::Schedule;
use crate::trace::Trace;
use doug_node::host::SendSnapshot;
use doug_proto::ids::NodeId;
use doug_proto::v1;
use std::collections::BTreeSet;

/// Shared by nodes and clients.
#[derive(Debug)]
pub struct Context {
    /// Simulated time in microseconds.
    pub now: u64,
    /// What is to come.
    pub schedule: Schedule<Event>,
    /// Durations of work inside nodes.
    pub random: Random,
    /// The record.
    pub trace: Trace,
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
    /// Nodes whose files were damaged: they are excused for noticing.
    pub damaged: BTreeSet<usize>,
    /// Snapshots that nodes want sent.
    pub wanted_snapshots: Vec<WantedSnapshot>,
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
    /// Schedules an event some microseconds from now.
    pub fn after(&mut self, delay: u64, event: Event) {
        self.schedule.add(self.now + delay, event);
    }

    /// Sends a peer what a host has to say to it.
    pub fn send_turn(&mut self, from: usize, from_id: NodeId, to_id: NodeId, turn: v1::PeerTurn) {
        let Some(to) = self.database.index_of(to_id) else { return };
        let [first, second] = self.network.send(self.now, from, to);
        if let Some(at) = second {
            let arrival = Arrival::Turn { from: from_id, to: to_id, turn: turn.clone() };
            self.schedule.add(
                at,
                Event::Arrival { node: to, sent: (from, self.now), arrival: Box::new(arrival) },
            );
        }
        if let Some(at) = first {
            let arrival = Arrival::Turn { from: from_id, to: to_id, turn };
            self.schedule.add(
                at,
                Event::Arrival { node: to, sent: (from, self.now), arrival: Box::new(arrival) },
            );
        }
    }

    /// A client's place in the network.
    pub fn client_place(&self, client: usize) -> Place {
        self.database.nodes() + client
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
