//! The host: the deterministic state machine that owns a node's replicas.
//!
//! A node tells it what happened ([`Event`]) and at the end of each turn takes
//! what is to be done ([`Effects`]). It has no clock, no threads and no I/O: the
//! same events at the same times always give the same effects. Partitions share
//! no mutable state, so a node may run several hosts side by side.

mod backlog;
mod balance;
mod clocks;
mod dirty;
mod effects;
mod event;
mod faults;
mod goals;
mod leadership;
mod levels;
#[cfg(feature = "simulation")]
mod mutant;
mod payloads;
mod pending;
mod places;
mod queue;
mod quiesce;
mod reads;
mod replay;
mod replica;
mod requests;
mod retention;
mod shares;
mod snapshots;
mod turn;
mod uncommitted;
pub mod wire;

pub use effects::{Effects, Fetch, ReadyRead, Reply, RoleChange, SendSnapshot};
pub use event::{Event, ReadKind};
pub use faults::undecided;
#[cfg(feature = "simulation")]
pub use mutant::LevelBug;
pub use replay::Replayed;
pub use shares::{host_of, split};

use crate::levels::FEATURE_LEVEL;
use backlog::Persisting;
use clocks::WallClocks;
use dirty::DirtyPartitions;
use doug_proto::ids::NodeId;
use doug_proto::map::{Member, Partition};
use doug_proto::v1;
use doug_raft::{
    Batch, BatchTime, Clock, Configuration, Index, LeaseConfig, Membership, PartitionId, Raft,
    ReplicaId, Restored, Term, Time,
};
use doug_storage::ReplicaKey;
use faults::{not_proposed, outcome_unknown, read_expired, transfer_expired};
use goals::Leaving;
use levels::Programs;
use payloads::Payloads;
use queue::QueuedWrite;
use quiesce::{Candidacy, PeerLiveness};
use replica::{AwaitedTransfer, Replica};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use uncommitted::Uncommitted;

/// Settings of a host.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// The node.
    pub node: NodeId,
    /// Shortest election timeout; the longest is twice that.
    pub election_timeout: Duration,
    /// For how long without a leader the votes of a replica with an ambiguous tail stay marked
    /// (default 60 s).
    pub ambiguity_patience: Duration,
    /// Set: a leader reads by lease, on this assumption about the nodes' clocks.
    pub lease: Option<LeaseConfig>,
    /// The feature level that this program supports.
    pub supports: u32,
    /// How long a partition is idle before its leader asks it to quiesce.
    /// `None`: never, and this host vouches for no leader, so no partition with a
    /// replica here is quiesced.
    pub quiesce_after: Option<Duration>,
    /// Random number of the process.
    pub incarnation: u64,
    /// Which of the node's hosts this is.
    pub number: u32,
    /// How many hosts the node has.
    pub hosts: u32,
    /// A batch is closed when it holds this many bytes of commands.
    pub batch_bytes: usize,
    /// Bytes of batches in one message to a peer, or one larger batch alone.
    pub append_bytes: u64,
    /// Bytes of applied log each replica keeps for followers that lag.
    pub retained_log_bytes: u64,
    /// Bytes of batches that all replicas of this host may keep in memory once applied.
    pub payload_cache_bytes: u64,
    /// Bytes that wait for the log before nothing more is taken in. One message more may.
    pub log_backlog_bytes: u64,
    /// Bytes that wait to be applied to all replicas of this host, likewise.
    pub apply_backlog_bytes: u64,
    /// Bytes of batches without a majority that the log can bear, of all replicas of this host.
    pub uncommitted_log_bytes: u64,
    /// Bytes of the largest batch that the log can bear: a larger one is not taken from a peer.
    pub largest_batch_bytes: u64,
    /// A known bug of consensus that the simulator puts in.
    #[cfg(feature = "simulation")]
    pub mutant: Option<doug_raft::Mutant>,
    /// A known bug of feature levels that the simulator puts in.
    #[cfg(feature = "simulation")]
    pub level_bug: Option<LevelBug>,
}

impl HostConfig {
    /// The usual settings.
    pub fn new(node: NodeId) -> Self {
        Self {
            node,
            election_timeout: Duration::from_millis(150),
            ambiguity_patience: Duration::from_secs(60),
            lease: None,
            supports: FEATURE_LEVEL,
            quiesce_after: Some(QUIESCE_AFTER),
            incarnation: 0,
            number: 0,
            hosts: 1,
            batch_bytes: 1 << 20,
            append_bytes: 1 << 20,
            retained_log_bytes: 8 << 20,
            payload_cache_bytes: 16 << 20,
            log_backlog_bytes: 16 << 20,
            apply_backlog_bytes: 32 << 20,
            uncommitted_log_bytes: 192 << 20,
            largest_batch_bytes: 8 << 20,
            #[cfg(feature = "simulation")]
            mutant: None,
            #[cfg(feature = "simulation")]
            level_bug: None,
        }
    }
}

/// A replica as it was found on disk.
#[derive(Clone, Debug)]
pub struct RestoredReplica {
    /// The replica.
    pub replica: ReplicaKey,
    /// The partition's descriptor as of the applied index.
    pub descriptor: Partition,
    /// Last term voted in.
    pub term: Term,
    /// The vote in it.
    pub vote: Option<ReplicaId>,
    /// The last index in SSTables, and its term.
    pub applied: (Index, Term),
    /// Clock and stamp of the batch that ends there.
    pub applied_time: BatchTime,
    /// The greatest commit index the log names.
    pub commit: Index,
    /// The partition's feature level as of the applied index.
    pub feature_level: u32,
    /// Batches above the applied index, in order.
    pub batches: Vec<Batch>,
    /// Batches that it acknowledged in its term may be missing at the end.
    pub ambiguous_tail: bool,
    /// Seed of its timeouts.
    pub seed: u64,
}

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

/// A pause between ticks longer than the election timeout divided by this means
/// that the process did not run: on an overloaded machine all would campaign
/// whenever they run again, and none would win.
const STALL: u32 = 3;

/// Pause before something is asked for again.
const AGAIN: Duration = Duration::from_millis(500);

/// How long a partition is usually idle before it is quiesced.
pub const QUIESCE_AFTER: Duration = Duration::from_secs(3);

/// Pause between looks at the spread of the leaders.
const BALANCE_INTERVAL: Duration = Duration::from_millis(500);

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

    /// Takes over a replica found on disk.
    pub fn restore(&mut self, now: Time, found: RestoredReplica) {
        // A cut tail may have taken batches that an older record knew committed;
        // the leader sends them again.
        if found.ambiguous_tail {
            self.ambiguous.insert(found.replica.partition);
        }
        let end = found.batches.last().map_or(found.applied.0, Batch::last);
        let restored = Restored {
            term: found.term,
            vote: found.vote,
            membership: membership(&found.descriptor),
            snapshot: found.applied,
            snapshot_time: found.applied_time,
            applied: found.applied.0,
            commit: found.commit.clamp(found.applied.0, end),
            batches: found.batches,
            ambiguous_tail: found.ambiguous_tail,
        };
        self.add(now, found.replica, found.descriptor, restored, found.seed, found.feature_level);
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
            Event::Applied { replica, index, feature_level } => {
                self.applied(replica, index, feature_level);
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

    fn add(
        &mut self,
        now: Time,
        key: ReplicaKey,
        descriptor: Partition,
        restored: Restored,
        seed: u64,
        feature_level: u32,
    ) {
        let id = ReplicaId(key.replica);
        let mut config = doug_raft::Config::new(PartitionId(key.partition), id, seed);
        config.election_timeout_min = self.config.election_timeout;
        config.election_timeout_max = 2 * self.config.election_timeout;
        config.heartbeat_interval = self.config.election_timeout / 3;
        config.ambiguity_patience = self.config.ambiguity_patience;
        config.lease = self.config.lease;
        config.max_append_bytes = self.config.append_bytes;
        config.max_uncommitted_bytes =
            Uncommitted::of_one_replica(self.config.uncommitted_log_bytes);
        #[cfg(feature = "simulation")]
        {
            config.mutant = self.config.mutant;
        }
        let applied = restored.applied;
        let preferred = preferred(&descriptor) == Some(id);
        let mut raft = Raft::new(config, restored, now);
        if preferred {
            raft.campaign(now);
        }
        let replica = Replica::new(key, raft, descriptor, applied, feature_level, now);
        let before = self.replicas.insert(key.partition, replica);
        assert!(
            before.is_none(),
            "this host already holds a replica of partition {}",
            key.partition
        );
        self.dirty.insert(key.partition);
        self.liveness.peers_changed = true;
        self.update_indexes(now, key.partition);
    }

    /// Runs `action` on a replica, unless it is gone or is another one.
    fn with(&mut self, key: ReplicaKey, action: impl FnOnce(&mut Replica)) {
        let Some(replica) = self.replicas.get_mut(&key.partition) else { return };
        if replica.key == key {
            action(replica);
            self.dirty.insert(key.partition);
        }
    }

    fn create(&mut self, now: Time, key: ReplicaKey, descriptor: Partition, seed: u64) {
        if self.replicas.contains_key(&key.partition) {
            return;
        }
        let restored = Restored::empty(membership(&descriptor));
        self.add(now, key, descriptor, restored, seed, 1);
    }

    fn tick(&mut self, now: Time) {
        let pause = now.since(self.last_tick);
        let stalled = self.last_tick != Time(0) && pause > self.config.election_timeout / STALL;
        self.last_tick = now;
        if stalled {
            self.liveness.compensate_pause(now, pause);
        }
        self.tick_liveness(now);
        let (mut due, mut campaigning, mut idle) = (Vec::new(), 0, Vec::new());
        // A node may hold thousands of replicas, nearly all of which are quiesced.
        for partition in &self.ticking {
            let Some(replica) = self.replicas.get_mut(partition) else { continue };
            if replica.snapshot.is_none() {
                if stalled {
                    replica.raft.compensate_pause(now, pause);
                }
                self.clocks.show_to(now, replica);
                match replica.raft.campaign_due(now) {
                    true => due.push(Candidacy::of(replica)),
                    false => replica.raft.tick(now),
                }
                campaigning += usize::from(replica.raft.is_campaigning(now));
            }
            if self.config.quiesce_after.is_some_and(|after| replica.may_quiesce(now, after)) {
                idle.push(*partition);
            }
            expire(now, replica, &mut self.effects);
            // Most of the others have nothing to do either.
            if !replica.is_idle() {
                self.dirty.insert(*partition);
            }
        }
        self.let_campaign(now, due, campaigning);
        self.quiesce_idle(now, idle);
        self.move_members(now);
        if now >= self.next_balance {
            self.next_balance = now.after(BALANCE_INTERVAL);
            self.balance(now);
        }
    }

    fn turn(&mut self, now: Time, from: NodeId, turn: v1::PeerTurn) {
        self.clocks.heard(now, from, Clock(turn.clock));
        for word in &turn.node_heartbeats {
            self.node_heartbeat(now, from, word);
        }
        for heartbeat in &turn.heartbeats {
            self.message(now, from, wire::unpack_heartbeat(heartbeat));
        }
        for answer in &turn.heartbeat_answers {
            self.message(now, from, wire::unpack_heartbeat_answer(answer));
        }
        for message in turn.messages {
            match wire::unpack(message) {
                Ok(unpacked) => self.message(now, from, unpacked),
                Err(error) => tracing::warn!(%from, %error, "a peer's message was dropped"),
            }
        }
    }

    /// A message counts only between the replicas it names. One for a replica that
    /// was removed from here finds nobody, and the sender must be where it belongs:
    /// see [`places`].
    fn message(
        &mut self,
        now: Time,
        from: NodeId,
        (route, message): (wire::Route, doug_raft::Message),
    ) {
        let Some(replica) = self.replicas.get_mut(&route.partition) else { return };
        if replica.key.replica != route.to.0 || replica.snapshot.is_some() {
            return;
        }
        if !replica.places.admit(&replica.descriptor, route.from, from) {
            return;
        }
        if let Some(bytes) = larger_batch(&message, self.config.largest_batch_bytes) {
            tracing::error!(
                %from, partition = route.partition, bytes,
                "a leader sends a batch that this node's log cannot hold: run the same version \
                 on all nodes, with log limits alike"
            );
            return;
        }
        // The leader sends it again. Its heartbeats pass, so it goes on leading.
        let carries_batches = carries_batches(&message);
        if carries_batches
            && (is_full(&self.config, &self.persisting, (self.applying, replica))
                || !self.uncommitted.takes_append(makes_longer(&message, replica)))
        {
            self.effects.dropped_appends += 1;
            return;
        }
        if !self.liveness.admits(from, route.partition, &message) {
            return;
        }
        self.clocks.show_to(now, replica);
        self.liveness.refresh_leader_heard(replica);
        replica.raft.step(now, route.from, message);
        if carries_batches {
            replica.recount_uncommitted(&mut self.uncommitted);
        }
        self.dirty.insert(route.partition);
    }

    fn persisted(&mut self, now: Time, upto: Sequence, passed: &[Sequence]) {
        for (partition, ticket) in self.persisting.durable(upto, passed) {
            if let Some(replica) = self.replicas.get_mut(&partition) {
                replica.raft.persisted(now, ticket);
                self.dirty.insert(partition);
            }
        }
    }

    fn applied(&mut self, key: ReplicaKey, index: Index, feature_level: u32) {
        self.end_leaving(|leaving| leaving.replica == key && leaving.until <= index);
        self.with(key, |replica| {
            replica.feature_level = replica.feature_level.max(feature_level);
            replica.applied = replica.applied.max(index);
            replica.applying.applied(replica.applied);
            replica.raft.applied(replica.applied);
        });
    }

    fn flushed(&mut self, key: ReplicaKey, index: Index, pressure: bool) {
        let budget = if pressure { 0 } else { self.config.retained_log_bytes };
        let mut floor = None;
        self.with(key, |replica| {
            replica.retention.flushed(index);
            let peers = replica.raft.peers();
            // A follower does not know what the others have.
            let everyone = peers.iter().map(|peer| peer.matched).min().unwrap_or(0);
            floor = replica.retention.advance(budget, everyone);
            if let Some(floor) = floor {
                replica.raft.compact(floor);
            }
        });
        if let Some(floor) = floor {
            self.effects.floors.push((key, floor));
        }
        if pressure {
            self.effects.flush.push(key);
        }
    }

    fn suspect(&mut self, now: Time, node: NodeId) {
        self.forget_program(node);
        for (partition, replica) in &mut self.replicas {
            if let Some(peer) = replica.replica_on(node).filter(|_| replica.snapshot.is_none()) {
                replica.raft.suspect(now, peer);
                self.dirty.insert(*partition);
            }
        }
    }
}

/// Whether so much waits for the log, or to be applied to this replica, that nothing
/// more is taken in: see [`backlog`].
fn is_full(
    config: &HostConfig,
    persisting: &Persisting,
    (applying, replica): (u64, &Replica),
) -> bool {
    // One partition whose apply is held up leaves three quarters to the others.
    persisting.bytes() >= config.log_backlog_bytes
        || applying >= config.apply_backlog_bytes
        || replica.applying.bytes() >= config.apply_backlog_bytes / 4
}

fn carries_batches(message: &doug_raft::Message) -> bool {
    matches!(message, doug_raft::Message::Append { batches, .. } if !batches.is_empty())
}

/// The size of a batch in a message that is larger than the log can bear.
fn larger_batch(message: &doug_raft::Message, most: u64) -> Option<u64> {
    let doug_raft::Message::Append { batches, .. } = message else { return None };
    batches.iter().map(doug_raft::Batch::size).find(|size| *size > most)
}

/// Whether an append begins at the log's end. One that begins before it replaces what is there,
/// or repeats it.
fn makes_longer(message: &doug_raft::Message, replica: &Replica) -> bool {
    matches!(message, doug_raft::Message::Append { prev_index, .. }
        if *prev_index >= replica.raft.last_index())
}

/// Ends the requests whose time is over.
fn expire(now: Time, replica: &mut Replica, effects: &mut Effects) {
    let partition = replica.key.partition;
    for request in replica.queue.expire(now) {
        effects.replies.push((request, Err(not_proposed(partition))));
    }
    let committed = replica.applying.expire(now);
    for request in replica.pending.expire(now).into_iter().chain(committed) {
        effects.replies.push((request, Err(outcome_unknown(partition))));
    }
    for request in replica.reads.expire(now) {
        effects.replies.push((request, Err(read_expired(replica))));
    }
    let raft = &replica.raft;
    let over = |transfer: &mut AwaitedTransfer| transfer.deadline <= now || transfer.given_up(raft);
    if let Some(transfer) = replica.transfer.take_if(over) {
        effects.replies.push((transfer.request, Err(transfer_expired(partition))));
    }
}

/// What stands in the log for a descriptor. A replica that has yet to hear of its
/// group's members knows none.
fn membership(descriptor: &Partition) -> Membership {
    if descriptor.generation == 0 {
        return Membership::default();
    }
    let ids = |members: &[Member]| members.iter().map(|m| ReplicaId(m.replica)).collect();
    let configuration = Configuration {
        voters: ids(&descriptor.voters),
        outgoing: ids(&descriptor.outgoing),
        learners: ids(&descriptor.learners),
    };
    Membership { configuration, context: descriptor.encode() }
}

/// The voter that leads when all are well: the first of the descriptor, which
/// creation rotates from partition to partition.
fn preferred(descriptor: &Partition) -> Option<ReplicaId> {
    descriptor.voters.first().map(|member| ReplicaId(member.replica))
}
