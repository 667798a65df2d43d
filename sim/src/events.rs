//! Everything that can happen.

use crate::calls::{Call, Caller};
use crate::faults::Relief;
use crate::history::{Answer, Freshness};
use crate::library::LibraryEvent;
use crate::network::Place;
use crate::operator::OperatorEvent;
use crate::plan::FaultKind;
use crate::time::SimTime;
use bytes::Bytes;
use doug_node::host::ReadyRead;
use doug_node::work::RequestId;
use doug_proto::ids::NodeId;
use doug_proto::map::{PartitionMap, Summary};
use doug_proto::v1::{self, raft_message::Message};
use doug_storage::ReplicaKey;
use std::sync::Arc;
use std::time::Duration;

/// One event.
#[derive(Debug)]
pub enum Event {
    /// Inside a node's process.
    Node {
        /// The node.
        node: usize,
        /// The process it belongs to; a later one is not told.
        life: u64,
        /// What.
        event: NodeEvent,
    },
    /// Something reaches a node.
    Arrival {
        /// The node.
        node: usize,
        /// Where it was sent, and when.
        sent: (Place, SimTime),
        /// What.
        arrival: Box<Arrival>,
    },
    /// At a client.
    Client {
        /// The client.
        client: usize,
        /// What.
        event: ClientEvent,
    },
    /// At the operator.
    Operator(OperatorEvent),
    /// Around the client library.
    Library(LibraryEvent),
    /// A snapshot under way moves on.
    Snapshot {
        /// Its number.
        transfer: u64,
    },
    /// Trouble.
    Fault(FaultKind),
    /// The end of some trouble.
    Relief(Relief),
    /// A node's process is started.
    Start {
        /// The node.
        node: usize,
    },
    /// A node gets a program of another version.
    Upgrade {
        /// The node.
        node: usize,
        /// The feature level that it supports.
        level: u32,
        /// Whether the process before it is told to stop, rather than killed.
        clean: bool,
    },
    /// Logs are compared.
    Compare,
}

/// What happens inside a process.
#[derive(Debug)]
pub enum NodeEvent {
    /// A host is told the time.
    Tick(usize),
    /// A host takes its mail.
    Turn(usize),
    /// A write and fdatasync of the log ended.
    Synced,
    /// The log has been idle for a while.
    Idle,
    /// The log has been idle for a moment.
    Mark,
    /// Committed batches are applied.
    Apply,
    /// A background worker moves on.
    Work(usize),
    /// Leftovers are tidied away.
    Tidy,
    /// Its supervisor asks whether it lives.
    Probe,
    /// A read is served.
    Serve(RequestId, Option<ReadyRead>),
    /// A call is carried out.
    Call(Caller, Box<Call>),
    /// Another node's word about the map is taken in.
    HearMap(Box<MapTalk>),
    /// All others are told the map.
    TellMap,
    /// One other node is asked whether it knows another map.
    AskMap,
    /// The node looks for replicas that their groups have left out.
    LookForLeftOut,
    /// The creation document is written, where it is missing in the catalog.
    WriteCreation,
    /// The groups of damaged replicas are asked for successors.
    ReplaceDamaged,
    /// Whoever waited for a host to let go of a replica hears that it has.
    LetGo(ReplicaKey),
}

/// One node's word to another about the map.
#[derive(Clone, Debug)]
pub struct MapTalk {
    /// The speaker.
    pub from: NodeId,
    /// The listener.
    pub to: NodeId,
    /// Of the speaker's map.
    pub digest: u64,
    /// Of the groups of its entries.
    pub summary: Arc<Summary>,
    /// The entries that the listener may lack, unless they are only asked for.
    pub changes: Option<Arc<v1::PartitionMap>>,
    /// Whether the listener is to answer.
    pub asks: bool,
}

impl NodeEvent {
    /// Tells kinds apart in the trace's hash.
    pub fn number(&self) -> u64 {
        match self {
            NodeEvent::Tick(host) => 16 + *host as u64,
            NodeEvent::Turn(host) => 32 + *host as u64,
            NodeEvent::Synced => 1,
            NodeEvent::Idle => 2,
            NodeEvent::Mark => 15,
            NodeEvent::Apply => 3,
            NodeEvent::Work(worker) => 64 + *worker as u64,
            NodeEvent::Tidy => 4,
            NodeEvent::Serve(request, _) => 1_000 + request.0,
            NodeEvent::Call(..) => 5,
            NodeEvent::HearMap(talk) => 6 ^ (talk.digest << 8),
            NodeEvent::TellMap => 7,
            NodeEvent::AskMap => 8,
            NodeEvent::LookForLeftOut => 9,
            NodeEvent::ReplaceDamaged => 10,
            NodeEvent::Probe => 12,
            NodeEvent::WriteCreation => 13,
            NodeEvent::LetGo(key) => 11 ^ (key.replica << 8),
        }
    }
}

impl std::fmt::Display for Arrival {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Arrival::Turn { from, turn, .. } => {
                let (beats, answers) = (turn.heartbeats.len(), turn.heartbeat_answers.len());
                write!(f, "from {from} {beats} heartbeats, {answers} answers")?;
                turn.messages.iter().try_for_each(|message| write!(f, ", {message:?}"))
            }
            Arrival::Request(request) => write!(f, "{request:?}"),
            Arrival::Refused { peer } => write!(f, "that the port of {peer} refuses"),
            Arrival::Call { caller, call, .. } => write!(f, "the call {call:?} of {caller:?}"),
            Arrival::Map(talk) => write!(f, "of the map {:016x} of {}", talk.digest, talk.from),
        }
    }
}

impl Arrival {
    /// Tells most messages apart in the trace's hash.
    pub fn digest(&self) -> u64 {
        match self {
            Arrival::Turn { turn, .. } => digest(turn),
            Arrival::Request(request) => request.from.operation << 8,
            Arrival::Refused { peer } => peer.bits(),
            Arrival::Call { to, .. } => to.bits() << 1,
            Arrival::Map(talk) => talk.digest,
        }
    }
}

/// What changes from one turn to the next: far cheaper than to encode it.
fn digest(turn: &v1::PeerTurn) -> u64 {
    let beats = turn.heartbeats.iter().map(|beat| beat.term + beat.commit + beat.round);
    let answers = turn.heartbeat_answers.iter().map(|answer| answer.round + answer.matched);
    let bytes = |append: &v1::Append| append.batches.iter().map(|batch| batch.len() as u64).sum();
    let messages = turn.messages.iter().map(|message| match &message.message {
        Some(Message::Append(append)) => bytes(append),
        _ => message.term,
    });
    let sizes = [turn.heartbeats.len(), turn.heartbeat_answers.len(), turn.messages.len()];
    let sizes = sizes.into_iter().map(|size| size as u64);
    let values = sizes.chain(beats).chain(answers).chain(messages);
    values.fold(0, |digest, value| digest.rotate_left(7) ^ value)
}

/// What a node says of itself when it opens a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The feature level that its program supports.
    pub level: u32,
    /// Names its process.
    pub incarnation: u64,
    /// Which of the node's processes that is.
    pub life: u64,
    /// Whether the stream is opened to hear the other's.
    pub asks: bool,
}

/// What reaches a node over the network.
#[derive(Debug)]
pub enum Arrival {
    /// From a peer.
    Turn {
        /// The peer.
        from: NodeId,
        /// For whom: its address may have passed to another node.
        to: NodeId,
        /// What the hello says that opened the stream.
        hello: Hello,
        /// All it had to say.
        turn: v1::PeerTurn,
    },
    /// From a client.
    Request(Request),
    /// A call to a service of the node.
    Call {
        /// For whom.
        to: NodeId,
        /// Who is answered.
        caller: Caller,
        /// What is to be done.
        call: Box<Call>,
    },
    /// From a peer, about the map.
    Map(Box<MapTalk>),
    /// A peer's port refuses.
    Refused {
        /// The peer.
        peer: NodeId,
    },
}

/// Where an answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// The client.
    pub client: usize,
    /// Which of its operations under way.
    pub slot: usize,
    /// Number of the operation.
    pub operation: u64,
    /// Which try.
    pub attempt: u32,
}

/// A client's request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where its answer goes.
    pub from: InFlight,
    /// The partition.
    pub partition: u64,
    /// What is asked.
    pub ask: Ask,
    /// The node gives up after so long.
    pub timeout: Duration,
}

/// What a request asks.
#[derive(Clone, Debug)]
pub enum Ask {
    /// An encoded command.
    Write(Bytes),
    /// A transaction that only reads.
    Transact(Box<v1::TransactRequest>),
    /// A key.
    Get(Bytes, Freshness),
    /// All keys.
    Scan {
        /// How fresh.
        freshness: Freshness,
        /// From the last to the first.
        reverse: bool,
    },
}

/// An error, as far as clients act on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The promise that nothing was or will be applied.
    pub not_executed: bool,
    /// Who leads.
    pub leader: Option<NodeId>,
    /// The session is not known.
    pub expired: bool,
    /// The node does not hold the partition, or nothing of it yet.
    pub not_here: bool,
}

/// What happens at a client.
#[derive(Debug)]
pub enum ClientEvent {
    /// It begins an operation.
    Begin {
        /// Where.
        slot: usize,
    },
    /// It sends its operation again.
    Again {
        /// Where.
        slot: usize,
        /// Which.
        operation: u64,
        /// After which try.
        attempt: u32,
    },
    /// It was answered.
    Reply {
        /// Where.
        slot: usize,
        /// Which.
        operation: u64,
        /// Which try.
        attempt: u32,
        /// The node that answers.
        server: usize,
        /// The answer.
        result: Box<Result<Answer, Refusal>>,
    },
    /// A node tells it the map.
    Map(Arc<PartitionMap>),
    /// It was not answered in time.
    Timeout {
        /// Where.
        slot: usize,
        /// Which.
        operation: u64,
        /// Which try.
        attempt: u32,
    },
}
