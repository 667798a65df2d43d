//! The thread of one host: feeds it events, and carries its effects out.

use super::shared::Shared;
use super::threads::Pulse;
use crate::host::{Effects, Event, Host, Replayed, Reply, RequestId, RoleChange};
use crossbeam_channel::Sender;
use doug_proto::error::Fault;
use doug_storage::ReplicaKey;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// An event, and the room it takes in its sender's bounded queue.
#[derive(Debug)]
pub struct Input {
    /// What happened.
    pub event: Event,
    /// Given back once the host has seen the event.
    pub room: [Option<OwnedSemaphorePermit>; 2],
}

impl From<Event> for Input {
    fn from(event: Event) -> Self {
        Self { event, room: [None, None] }
    }
}

/// Runs a host until the node stops. It waits for nothing but its mail.
pub fn run(number: usize, mut host: Host, shared: Arc<Shared>, pulse: Pulse) {
    let tick = Duration::from_micros(shared.config.tick_microseconds());
    let mut next_tick = shared.clock.now();
    let mut turn = Vec::new();
    while !shared.stopping.load(Ordering::Relaxed) {
        pulse.beat();
        let wait = Duration::from_micros(next_tick.since(shared.clock.now()));
        shared.hosts[number].mailbox.take_turn(&mut turn, wait.min(tick));
        for input in turn.drain(..) {
            step(&mut host, input, &shared);
        }
        let now = shared.clock.now();
        if now >= next_tick {
            next_tick = now.after(tick.as_micros() as u64);
            host.step(now, Event::Tick { wall: shared.clock.wall() });
            shared.hosts[number].note(now, &host);
        }
        let effects = host.take_effects(shared.clock.now());
        carry_out(number, effects, &shared);
    }
}

fn step(host: &mut Host, input: Input, shared: &Shared) {
    host.step(shared.clock.now(), input.event);
    drop(input.room);
}

fn carry_out(number: usize, effects: Effects, shared: &Shared) {
    // The leader sends while its own write runs (thesis, 10.2.1).
    for (node, turn) in effects.turns {
        shared.metrics.peer_turns.inc();
        shared.peers.send(node, turn);
    }
    if !effects.records.is_empty() {
        give(&shared.log, super::log_thread::LogWork { host: number, records: effects.records });
    }
    for work in effects.apply {
        give(&shared.apply, work);
    }
    for read in effects.ready {
        give(&shared.reads, super::read_pool::ReadTask::Ready(read));
    }
    for (request, reply) in effects.replies {
        answer(request, reply, shared);
    }
    for (replica, index) in effects.floors {
        shared.log_reader.set_floor(replica, index);
    }
    for replica in effects.flush {
        give(&shared.maintenance, super::maintenance::Task::Flush(replica));
    }
    for fetch in effects.fetch {
        give(&shared.maintenance, super::maintenance::Task::Fetch { host: number, fetch });
    }
    for replica in effects.repaired {
        give(&shared.maintenance, super::maintenance::Task::TailRepaired(replica));
    }
    for snapshot in effects.snapshots {
        shared.send_snapshot(number, snapshot);
    }
    for wanted in effects.creations {
        // Too many at once: the leader asks again.
        drop(shared.creations.try_send(wanted));
    }
    shared.metrics.unquiesced(&effects.unquiesces);
    shared.metrics.dropped_appends.inc_by(effects.dropped_appends);
    for (replica, replayed) in effects.replayed {
        serve_from_now_on(replica, replayed, shared);
    }
    for change in effects.roles {
        role_changed(change, shared);
    }
}

/// No queue behind the host has a bound, for it counts what it gives out and takes in
/// nothing while that is too much. The receiver is gone only while the process ends.
fn give<T>(sender: &Sender<T>, work: T) {
    drop(sender.send(work));
}

fn answer(id: RequestId, reply: Result<Reply, Fault>, shared: &Shared) {
    let Some(request) = shared.requests.take(id) else { return };
    if let super::requests::Asked::Control(sender) = request.asked {
        drop(sender.send(reply));
        return;
    }
    let Some(sink) = request.sink else { return };
    match reply {
        Err(fault) => sink.fail(&shared.with_leader_address(fault)),
        Ok(_) => sink.fail(&Fault::unknown("the host answered with something else: a bug")),
    }
}

fn serve_from_now_on(replica: ReplicaKey, replayed: Replayed, shared: &Shared) {
    if replayed == Replayed::AsFarAsKnown {
        tracing::warn!(
            %replica,
            "heard no leader since the start: serves stale reads from what its log knew committed"
        );
    }
    let held = shared.partition(replica.partition);
    if let Some(partition) = held.filter(|partition| partition.key() == replica) {
        partition.note_serves();
    }
}

fn role_changed(change: RoleChange, shared: &Shared) {
    let leader = change.leader.map(|node| node.to_string());
    tracing::info!(
        partition = change.replica.partition,
        term = change.term,
        leads = change.leads,
        leader = leader.as_deref().unwrap_or("none"),
        "leadership changed"
    );
    if let Some(partition) = shared.partition(change.replica.partition)
        && partition.key() == change.replica
    {
        partition.note_leads(change.leads);
    }
    shared.metrics.role_changed(&change);
}
