//! The host: the deterministic state machine that owns a node's replicas.
//!
//! A node tells it what happened ([`Event`]) and at the end of each turn takes
//! what is to be done ([`Effects`]). It has no clock, no threads and no I/O: the
//! same events at the same times always give the same effects. Partitions share
//! no mutable state, so a node may run several hosts side by side.

mod backlog;
mod balance;
mod clocks;
mod config;
mod dirty;
mod effects;
mod event;
mod expiry;
mod faults;
mod goals;
mod leadership;
mod levels;
mod members;
mod messages;
#[cfg(feature = "simulation")]
mod mutant;
mod payloads;
mod pending;
mod places;
mod progress;
mod queue;
mod quiesce;
mod reads;
mod recovery;
mod replay;
mod replica;
mod requests;
mod restore;
mod retention;
mod shares;
mod snapshots;
mod tick;
mod turn;
mod uncommitted;
pub mod wire;

pub use config::{HostConfig, QUIESCE_AFTER};
pub use effects::{Effects, Fetch, ReadyRead, Reply, RoleChange, SendSnapshot};
pub use event::{Event, ReadKind};
pub use faults::undecided;
#[cfg(feature = "simulation")]
pub use mutant::{LevelBug, RecoveryBug};
pub use replay::Replayed;
pub use restore::RestoredReplica;
pub use shares::{host_of, split};

use backlog::Persisting;
use clocks::WallClocks;
use dirty::DirtyPartitions;
use doug_proto::v1;
use doug_raft::{Raft, Time};
use doug_storage::ReplicaKey;
use expiry::Expiries;
use goals::Leaving;
use levels::Programs;
use payloads::Payloads;
use queue::QueuedWrite;
use quiesce::PeerLiveness;
use replica::Replica;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use uncommitted::Uncommitted;

/// Owner of some of a node's replicas.
#[derive(Debug)]
pub struct Host {
    config: HostConfig,
    replicas: BTreeMap<u64, Replica>,
    effects: Effects,
    /// Partitions with something to do at the end of this turn.
    dirty: DirtyPartitions,
    /// Replicas let go of that have yet to apply what was given out.
    leaving: Vec<Leaving>,
    persisting: Persisting,
    uncommitted: Uncommitted,
    payloads: Payloads,
    /// Bytes that wait to be applied to all replicas.
    applying: u64,
    draining: bool,
    next_balance: Time,
    last_tick: Time,
    programs: Programs,
    liveness: PeerLiveness,
    clocks: WallClocks,
    expiries: Expiries,
    /// Partitions led from here.
    led: BTreeSet<u64>,
    /// Partitions whose replica here has not caught up with a leader yet.
    behind: BTreeSet<u64>,
    /// Partitions whose replica here is quiesced.
    quiesced: BTreeSet<u64>,
    /// Partitions whose replica here was found with an ambiguous tail.
    ambiguous: BTreeSet<u64>,
    /// Partitions that need ticks: all that are not quiesced, and those where something waits.
    ticking: BTreeSet<u64>,
}

/// Pause before something is asked for again.
const AGAIN: Duration = Duration::from_millis(500);

impl Host {
    /// A host without replicas.
    pub fn new(config: HostConfig) -> Self {
        let programs = Programs::new(&config);
        let clocks = WallClocks::new(config.node);
        let liveness = PeerLiveness::new(config.incarnation, 2 * config.election_timeout);
        let uncommitted = Uncommitted::new(config.uncommitted_log_bytes);
        let payloads = Payloads::new(config.payload_cache_bytes);
        Self {
            config,
            liveness,
            clocks,
            expiries: Expiries::default(),
            replicas: BTreeMap::new(),
            effects: Effects::default(),
            dirty: DirtyPartitions::default(),
            leaving: Vec::new(),
            persisting: Persisting::default(),
            uncommitted,
            payloads,
            applying: 0,
            draining: false,
            next_balance: Time(0),
            last_tick: Time(0),
            programs,
            led: BTreeSet::new(),
            behind: BTreeSet::new(),
            quiesced: BTreeSet::new(),
            ambiguous: BTreeSet::new(),
            ticking: BTreeSet::new(),
        }
    }

    /// Tells what happened. Effects gather until [`Host::take_effects`].
    pub fn step(&mut self, now: Time, event: Event) {
        match event {
            Event::Tick { wall } => {
                self.clocks.read_own(now, wall);
                self.tick(now);
            }
            Event::Turn { from, turn } => self.turn(now, from, turn),
            Event::Write { request, partition, command, seen, deadline } => {
                let write = QueuedWrite { request, command, seen, deadline };
                self.write(now, partition, write);
            }
            Event::Read { request, partition, kind, deadline } => {
                self.read(now, request, partition, kind, deadline);
            }
            Event::Persisted { upto, passed } => self.persisted(now, upto, &passed),
            Event::Applied { replica, index, feature_level, wanted, next_expiry } => {
                self.applied(replica, index, feature_level);
                self.note_expiry(replica, index, next_expiry);
                if let Some(command) = wanted {
                    self.propose_own(now, replica, command);
                }
            }
            Event::Flushed { replica, index } => self.flushed(replica, index, false),
            Event::LogPressure { replica } => self.flushed(replica, 0, true),
            Event::Fetched { replica, batches } => {
                self.with(replica, |r| r.raft.fetched(batches));
            }
            Event::SnapshotSent { replica, to, index } => {
                self.with(replica, |r| {
                    r.raft.snapshot_sent(now, to, index.is_some(), index.unwrap_or(0));
                });
            }
            Event::SnapshotReceived { request, replica, id } => {
                self.snapshot_received(request, replica, id);
            }
            Event::SnapshotInstalled { replica, id, installed } => {
                self.snapshot_installed(now, replica, id, installed);
            }
            Event::Suspect { node } => self.suspect(now, node),
            Event::Create { replica, descriptor, seed } => {
                self.create(now, replica, *descriptor, seed);
            }
            Event::Supports { node, level } => self.supports(now, node, level),
            Event::Hello { node, incarnation } => self.hello(now, node, incarnation),
            Event::ChangeMembers { request, partition, goal, generation, deadline } => {
                self.change_members(request, partition, goal, generation, deadline);
            }
            Event::Recover { request, order, deadline } => {
                self.recover(now, request, &order, deadline);
            }
            Event::Remove { request, replica } => self.remove(now, request, replica),
            Event::Transfer { request, partition, to, deadline } => {
                self.transfer(now, request, partition, to, deadline);
            }
            Event::HandOver => {
                self.draining = true;
                self.hand_over(now);
            }
            Event::Status { request } => {
                let status = self.status(now);
                self.effects.replies.push((request, Ok(Reply::Status(status))));
            }
        }
    }

    /// Ends the turn: proposes what was queued, asks for read indexes, and
    /// gives out all that is to be done.
    pub fn take_effects(&mut self, now: Time) -> Effects {
        // Carrying one replica's effects out may cause more of its own, never
        // another's; so one pass over the dirty ones is enough.
        while let Some(dirty) = self.dirty.take() {
            for partition in &dirty {
                self.finish_turn(now, *partition);
                self.update_indexes(now, *partition);
            }
            self.dirty.reuse(dirty);
        }
        self.evict_payloads();
        let clock = self.clocks.own(now).0;
        for (_, turn) in &mut self.effects.turns {
            turn.clock = clock;
        }
        std::mem::take(&mut self.effects)
    }

    /// Has replicas let go of batches while all together keep too many in memory: first of what
    /// they have applied, then of all that is durable. What no majority has yet, because one is
    /// away, may be far more than there is memory for.
    fn evict_payloads(&mut self) {
        for up_to in
            [|replica: &Replica| replica.applied, |replica: &Replica| replica.raft.last_index()]
        {
            let (mut after, last) = (0, self.payloads.last_change());
            while let Some((change, partition)) =
                self.payloads.over(after).filter(|(at, _)| *at <= last)
            {
                after = change;
                let Some(replica) = self.replicas.get_mut(&partition) else { continue };
                replica.raft.evict_payloads(up_to(replica));
                self.payloads.note(partition, replica.raft.payload_bytes());
            }
        }
    }

    /// State of every replica.
    pub fn status(&self, now: Time) -> Vec<v1::ReplicaStatus> {
        let is_live = |replica: &Replica, node| self.liveness.is_live(node, replica.key.partition);
        let status = |replica: &Replica| replica.status(now, |node| is_live(replica, node));
        self.replicas.values().map(status).collect()
    }

    /// How many replicas have yet to find out whether they lost what they had acknowledged.
    pub fn ambiguous_tails(&self) -> usize {
        let replicas = self.ambiguous.iter().filter_map(|partition| self.replicas.get(partition));
        replicas.filter(|replica| replica.raft.has_ambiguous_tail()).count()
    }

    /// Whether every replica has caught up with a leader once.
    pub fn caught_up(&self) -> bool {
        self.behind.is_empty()
    }

    /// Bytes of batches that were given to the log and are not durable yet.
    pub fn log_backlog(&self) -> u64 {
        self.persisting.bytes()
    }

    /// By how many milliseconds this node's wall clock is ahead of what it hears of others' (their
    /// median), or behind it if negative; 0 while it hears nobody.
    pub fn clock_offset(&self, now: Time) -> i64 {
        self.clocks.offset(now)
    }

    /// How many partitions are led from here.
    pub fn leaderships(&self) -> usize {
        self.led.len()
    }

    /// The core of a replica, for checkers.
    pub fn raft(&self, partition: u64) -> Option<&Raft> {
        self.replicas.get(&partition).map(|replica| &replica.raft)
    }

    /// Runs `action` on a replica, unless it is gone or is another one.
    fn with(&mut self, key: ReplicaKey, action: impl FnOnce(&mut Replica)) {
        let Some(replica) = self.replicas.get_mut(&key.partition) else { return };
        if replica.key == key {
            action(replica);
            self.dirty.insert(key.partition);
        }
    }
}
