//! One replica of one partition.

use bytes::Bytes;

use crate::batch::Batch;
use crate::config::{Config, Restored};
use crate::configuration::Configuration;
use crate::effects::Effect;
use crate::ids::{Index, ReadId, ReplicaId, Term, Ticket, Time};
use crate::message::Message;
use crate::propose::{ProposeError, Proposed};
use crate::status::PeerStatus;
use crate::transfer::TransferError;

/// What a replica is, in its term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Listens (learners always do).
    Follower,
    /// Asks whether it could win.
    PreCandidate,
    /// Asks for votes.
    Candidate,
    /// Leads.
    Leader,
}

/// One replica of one partition. See the crate's documentation.
#[derive(Debug)]
pub struct Raft {
    pub(crate) config: Config,
    pub(crate) restored: Restored,
    pub(crate) effects: Vec<Effect>,
}

#[allow(unused_variables, missing_docs)]
impl Raft {
    pub fn new(config: Config, restored: Restored, now: Time) -> Raft {
        config.check();
        Raft { config, restored, effects: Vec::new() }
    }
    pub fn tick(&mut self, now: Time) {}
    pub fn next_tick(&self) -> Time {
        Time(0)
    }
    pub fn step(&mut self, now: Time, from: ReplicaId, message: Message) {}
    pub fn propose(&mut self, now: Time, commands: &[Bytes]) -> Result<Proposed, ProposeError> {
        Err(ProposeError::NotLeader { leader: None })
    }
    pub fn read(&mut self, now: Time, id: ReadId) {}
    pub fn persisted(&mut self, now: Time, ticket: Ticket) {}
    pub fn applied(&mut self, index: Index) {}
    pub fn compact(&mut self, index: Index) {}
    pub fn evict_payloads(&mut self, index: Index) {}
    pub fn fetched(&mut self, batches: Vec<Batch>) {}
    pub fn payload_bytes(&self) -> u64 {
        0
    }
    pub fn campaign(&mut self, now: Time) {}
    pub fn transfer(&mut self, now: Time, to: ReplicaId) -> Result<(), TransferError> {
        Err(TransferError::NotLeader { leader: None })
    }
    pub fn suspect(&mut self, now: Time, peer: ReplicaId) {}
    pub fn snapshot_sent(&mut self, now: Time, to: ReplicaId, ok: bool, index: Index) {}
    pub fn restore(&mut self, now: Time, snapshot: (Index, Term), configuration: Configuration) {}
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    pub fn id(&self) -> ReplicaId {
        self.config.id
    }
    pub fn role(&self) -> Role {
        Role::Follower
    }
    pub fn term(&self) -> Term {
        self.restored.term
    }
    pub fn vote(&self) -> Option<ReplicaId> {
        self.restored.vote
    }
    pub fn leader(&self) -> Option<ReplicaId> {
        None
    }
    pub fn commit(&self) -> Index {
        0
    }
    pub fn applied_index(&self) -> Index {
        0
    }
    pub fn durable_index(&self) -> Index {
        0
    }
    pub fn first_index(&self) -> Index {
        1
    }
    pub fn last_index(&self) -> Index {
        0
    }
    pub fn term_at(&self, index: Index) -> Option<Term> {
        None
    }
    pub fn configuration(&self) -> &Configuration {
        &self.restored.configuration
    }
    pub fn peers(&self) -> Vec<PeerStatus> {
        Vec::new()
    }
}
