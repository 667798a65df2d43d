//! The thread of one host: feeds it events, and carries its effects out.

use super::Pulse;
use crate::engine::Engine;
use crate::engine::mailbox::Input;
use crate::engine::requests::Asked;
use crate::engine::tasks::{LogWork, MaintenanceTask, ReadTask};
use crate::host::{Effects, Event, Host, Replayed, Reply, RoleChange};
use crate::work::RequestId;
use crossbeam_channel::Sender;
use doug_proto::error::Fault;
use doug_storage::ReplicaKey;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Runs a host until the node stops. It waits for nothing but its mail.
pub fn run(number: usize, mut host: Host, engine: Arc<Engine>, pulse: Pulse) {
    let tick = engine.config.tick_interval();
    let mut next_tick = engine.clock.now();
    let mut turn = Vec::new();
    while !engine.stopping.load(Ordering::Relaxed) {
        pulse.beat();
        let wait = next_tick.since(engine.clock.now());
        engine.hosts[number].mailbox.take_turn(&mut turn, wait.min(tick));
        engine.metrics.pipeline.turns.inc();
        engine.metrics.pipeline.events.inc_by(turn.len() as u64);
        for input in turn.drain(..) {
            step(&mut host, input, &engine);
        }
        let now = engine.clock.now();
        if now >= next_tick {
            next_tick = now.after(tick);
            host.step(now, Event::Tick { wall: engine.clock.wall() });
            engine.hosts[number].note(now, &host);
        }
        let effects = host.take_effects(engine.clock.now());
        carry_out(number, effects, &engine);
    }
}

fn step(host: &mut Host, input: Input, engine: &Engine) {
    host.step(engine.clock.now(), input.event);
    drop(input.room);
}

fn carry_out(number: usize, effects: Effects, engine: &Engine) {
    // The leader sends while its own write runs (thesis, 10.2.1).
    for (node, turn) in effects.turns {
        engine.metrics.peer_turns.inc();
        engine.metrics.pipeline.said(&turn);
        engine.peers.send(node, turn);
    }
    if !effects.records.is_empty() {
        give(&engine.log, LogWork { host: number, records: effects.records });
    }
    for work in effects.apply {
        give(&engine.apply, work);
    }
    for read in effects.ready {
        give(&engine.reads, ReadTask::Ready(read));
    }
    for (request, reply) in effects.replies {
        answer(request, reply, engine);
    }
    for (replica, index) in effects.floors {
        engine.log_reader.set_floor(replica, index);
    }
    for replica in effects.flush {
        give(&engine.maintenance, MaintenanceTask::Flush(replica));
    }
    for fetch in effects.fetch {
        give(&engine.maintenance, MaintenanceTask::Fetch { host: number, fetch });
    }
    for replica in effects.repaired {
        give(&engine.maintenance, MaintenanceTask::TailRepaired(replica));
    }
    for snapshot in effects.snapshots {
        engine.send_snapshot(number, snapshot);
    }
    for wanted in effects.creations {
        // Too many at once: the leader asks again.
        drop(engine.creations.try_send(wanted));
    }
    engine.metrics.unquiesced(&effects.unquiesces);
    engine.metrics.dropped_appends.inc_by(effects.dropped_appends);
    for (replica, replayed) in effects.replayed {
        serve_from_now_on(replica, replayed, engine);
    }
    for change in effects.roles {
        role_changed(change, engine);
    }
}

/// No queue behind the host has a bound, for it counts what it gives out and takes in
/// nothing while that is too much. The receiver is gone only while the process ends.
fn give<T>(sender: &Sender<T>, work: T) {
    drop(sender.send(work));
}

fn answer(id: RequestId, reply: Result<Reply, Fault>, engine: &Engine) {
    let Some(request) = engine.requests.take(id) else { return };
    if let Asked::Control(sender) = request.asked {
        drop(sender.send(reply));
        return;
    }
    let Some(sink) = request.sink else { return };
    match reply {
        Err(fault) => sink.fail(&engine.with_leader_address(fault)),
        Ok(_) => sink.fail(&Fault::unknown("the host answered with something else: a bug")),
    }
}

fn serve_from_now_on(replica: ReplicaKey, replayed: Replayed, engine: &Engine) {
    if replayed == Replayed::AsFarAsKnown {
        tracing::warn!(
            %replica,
            "heard no leader since the start: serves stale reads from what its log knew committed"
        );
    }
    let held = engine.partition(replica.partition);
    if let Some(partition) = held.filter(|partition| partition.key() == replica) {
        partition.note_serves();
    }
}

fn role_changed(change: RoleChange, engine: &Engine) {
    let leader = change.leader.map(|node| node.to_string());
    tracing::info!(
        partition = change.replica.partition,
        term = change.term,
        leads = change.leads,
        leader = leader.as_deref().unwrap_or("none"),
        "leadership changed"
    );
    if let Some(partition) = engine.partition(change.replica.partition)
        && partition.key() == change.replica
    {
        partition.note_leads(change.leads);
    }
    engine.metrics.role_changed(change.replica.partition);
}
