//! What comes to pass in a group, in the order of time: messages arrive, records become durable,
//! ticks come. Each is told to a node's core; what the core asks for is done, and checked.

use std::time::Duration;

use doug_raft::{Batch, Effect, Index, LivenessEpoch, Message, Raft, Role, Term, Ticket, Time};

use super::clocks::wall;
use super::cluster::Cluster;
use super::disk::Machine;
use super::quiesce::liveness_of;
use super::{MILLISECOND, id};

/// Pause between two node heartbeats.
const NODE_HEARTBEAT: Duration = Duration::from_millis(50);

#[derive(Clone)]
pub(super) enum Event {
    Tick,
    Deliver {
        from: u64,
        message: Message,
    },
    /// The node checks its peers' liveness, and sends node heartbeats.
    Look {
        process: u64,
    },
    NodeHeartbeat {
        from: u64,
        liveness: LivenessEpoch,
    },
    Persisted {
        process: u64,
        ticket: Ticket,
    },
    Fetched {
        process: u64,
        batches: Vec<Batch>,
    },
    Snapshot {
        from: u64,
        machine: Machine,
        term: Term,
    },
    SnapshotSent {
        to: u64,
        ok: bool,
        index: Index,
    },
}

impl Cluster {
    /// Does the next thing due by `end`, if there is one.
    pub(super) fn turn(&mut self, end: Time) -> bool {
        let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= end) else {
            return false;
        };
        self.now = entry.key().0;
        let (number, event) = entry.remove();
        self.happen(number, event);
        true
    }

    fn happen(&mut self, number: u64, event: Event) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(&number) else { return };
        let (process, local) = (node.process, node.clock.local(now));
        let Some(raft) = &mut node.raft else { return };
        match event {
            Event::Tick if node.tick_at == now => {
                if let Some(late) = self.ticks_late_by {
                    raft.compensate_pause(local, late);
                }
                raft.tick(local);
            }
            Event::Deliver { from, message } => node.hear(local, from, message),
            Event::Look { process: of } if of == process => {
                self.look(number, local);
                return;
            }
            Event::NodeHeartbeat { from, liveness } => node.hear_node(local, from, liveness),
            Event::Persisted { process: written_by, ticket } if written_by == process => {
                node.disk.sync(ticket);
                raft.persisted(local, ticket);
            }
            Event::Fetched { process: asked_by, batches } if asked_by == process => {
                raft.fetched(batches)
            }
            Event::Snapshot { from, machine, term } if !raft.is_settled() => {
                let again = Event::Snapshot { from, machine, term };
                self.schedule(now.after(MILLISECOND), number, again);
                return;
            }
            Event::Snapshot { from, machine, term } => {
                let index = machine.applied;
                let ok = node.install(local, machine, term);
                let outcome = if ok { "installs" } else { "refuses" };
                self.story.tell(now, format!("{number} {outcome} the snapshot at index {index}"));
                self.schedule(now, from, Event::SnapshotSent { to: number, ok, index });
            }
            Event::SnapshotSent { to, ok, index } => raft.snapshot_sent(local, id(to), ok, index),
            Event::Tick | Event::Persisted { .. } | Event::Fetched { .. } | Event::Look { .. } => {
                return;
            }
        }
        self.settle(number);
    }

    pub(super) fn schedule(&mut self, at: Time, number: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((at, self.sequence), (number, event));
    }

    /// Does what the node's core asks, checks what it has become, and sets its alarm.
    pub(super) fn settle(&mut self, number: u64) {
        loop {
            let Some(raft) = &mut self.node(number).raft else { return };
            raft.check_invariants();
            let effects = raft.take_effects();
            if effects.is_empty() {
                break;
            }
            for effect in effects {
                self.perform(number, effect);
            }
        }
        let nodes = &self.nodes;
        let raft = nodes[&number].raft.as_ref().expect("it was just seen");
        self.checker.committed(raft, |id| nodes.get(&id.0).map(|node| &node.disk));
        let clock = nodes[&number].clock;
        let next = clock.when(raft.next_tick()).max(Time(self.now.0 + 1));
        let before = nodes[&number].tick_at;
        let at = match self.ticks_late_by {
            Some(_) if before > self.now => before,
            Some(late) => self.now.after(late),
            None => next,
        };
        let node = self.node(number);
        if node.tick_at != at {
            node.tick_at = at;
            self.schedule(at, number, Event::Tick);
        }
    }

    fn perform(&mut self, number: u64, effect: Effect) {
        self.story.tell_effect(self.now, number, &effect);
        *self.counts.entry(kind(&effect)).or_default() += 1;
        let now = self.now;
        match effect {
            Effect::Persist { ticket, record } => {
                let (low, high) = self.weather.sync;
                let took = self.dice.duration(low, high);
                let node = self.node(number);
                let commit = node.raft.as_ref().map_or(0, Raft::commit);
                node.disk.write(ticket, record, commit);
                node.disk_busy_until = node.disk_busy_until.max(now.after(took));
                let (at, process) = (node.disk_busy_until, node.process);
                self.schedule(at, number, Event::Persisted { process, ticket });
            }
            Effect::Send { to, message } => self.send(number, to.0, message),
            Effect::Apply { batches } => {
                for batch in &batches {
                    self.checker.applied(batch);
                    // With fewer than three voters a faulty clock may be the majority.
                    if !self.changes_members {
                        self.checker.clock_is_good(batch, wall(self.now));
                    }
                    self.node(number).machine.apply(batch);
                }
                let node = self.node(number);
                let applied = node.machine.applied;
                node.raft.as_mut().expect("it was just seen").applied(applied);
            }
            Effect::ReadReady { reads, index } => {
                for read in reads {
                    let node = self.node(number);
                    let floor = node.reads.remove(&read).expect("each read is answered once");
                    assert!(
                        index >= floor,
                        "a read got index {index}, but {floor} was committed before it"
                    );
                    node.reads_ready.insert(read, index);
                }
            }
            Effect::ReadAborted { reads } => {
                for read in reads {
                    let node = self.node(number);
                    node.reads.remove(&read).expect("each read is answered once");
                    node.reads_aborted.insert(read);
                }
            }
            Effect::RoleChanged { role, .. } => {
                if role == Role::Leader {
                    let raft = self.nodes[&number].raft.as_ref().expect("it was just seen");
                    self.checker.elected(raft);
                }
            }
            Effect::Quiesced => {
                let raft = self.nodes[&number].raft.as_ref().expect("it was just seen");
                self.checker.quiesced(raft);
            }
            Effect::Unquiesced { .. } => {}
            Effect::TailRepaired => self.node(number).disk.tail_repaired(),
            Effect::FetchPayloads { from, to } => {
                let node = self.node(number);
                let (process, batches) = (node.process, node.disk.read(from, to));
                self.schedule(now.after(MILLISECOND), number, Event::Fetched { process, batches });
            }
            Effect::SnapshotNeeded { to } => {
                let node = self.node(number);
                let machine = node.machine.clone();
                let raft = node.raft.as_ref().expect("it was just seen");
                let term = raft
                    .term_at(machine.applied)
                    .expect("what is applied was not compacted further");
                let index = machine.applied;
                if self.is_cut(number, to.0) {
                    self.schedule(
                        now.after(MILLISECOND),
                        number,
                        Event::SnapshotSent { to: to.0, ok: false, index },
                    );
                } else {
                    self.schedule(
                        now.after(10 * MILLISECOND),
                        to.0,
                        Event::Snapshot { from: number, machine, term },
                    );
                    // Should the receiver not live to say so.
                    let failed = Event::SnapshotSent { to: to.0, ok: false, index };
                    self.schedule(now.after(100 * MILLISECOND), number, failed);
                }
            }
        }
    }

    /// Has a node look after its peers' liveness, if partitions quiesce at all.
    pub fn begin_to_look(&mut self, number: u64) {
        if self.quiesce_after.is_some() {
            let process = self.nodes[&number].process;
            self.schedule(self.now, number, Event::Look { process });
        }
    }

    /// What a host does for its replicas at every tick, as far as quiescence goes.
    fn look(&mut self, number: u64, local: Time) {
        let Some(after) = self.quiesce_after else { return };
        let process = self.nodes[&number].process;
        self.schedule(self.now.after(NODE_HEARTBEAT), number, Event::Look { process });
        let others: Vec<u64> = self.nodes.keys().copied().filter(|&n| n != number).collect();
        for other in others {
            self.carry(
                number,
                other,
                &Event::NodeHeartbeat { from: number, liveness: liveness_of(process) },
            );
        }
        self.node(number).tick_quiescence(local, after);
        self.settle(number);
    }

    fn is_cut(&self, from: u64, to: u64) -> bool {
        self.weather.cut.contains(&(from, to))
    }

    fn send(&mut self, from: u64, to: u64, message: Message) {
        self.checker.sent(id(from), &message);
        self.carry(from, to, &Event::Deliver { from, message });
    }

    fn carry(&mut self, from: u64, to: u64, event: &Event) {
        if self.is_cut(from, to) || !self.nodes.contains_key(&to) {
            return;
        }
        let copies = 1 + u64::from(self.dice.percent(self.weather.duplicate_percent));
        for _ in 0..copies {
            if !self.dice.percent(self.weather.loss_percent) {
                let stray = self.dice.percent(self.weather.stray_percent);
                let (low, high) = if stray {
                    (Duration::ZERO, 1_000 * MILLISECOND)
                } else {
                    self.weather.latency
                };
                let at = self.now.after(self.dice.duration(low, high));
                self.schedule(at, to, event.clone());
            }
        }
    }
}

fn kind(effect: &Effect) -> &'static str {
    match effect {
        Effect::Persist { .. } => "records",
        Effect::Send { message: Message::TimeoutNow { .. }, .. } => "hand-overs",
        Effect::Send { .. } => "messages",
        Effect::Apply { .. } => "applies",
        Effect::ReadReady { .. } => "reads ready",
        Effect::ReadAborted { .. } => "reads aborted",
        Effect::RoleChanged { role: Role::Leader, .. } => "elections",
        Effect::RoleChanged { .. } => "changes of role",
        Effect::FetchPayloads { .. } => "fetches",
        Effect::TailRepaired => "tails repaired",
        Effect::Quiesced => "quiesces",
        Effect::Unquiesced { cause } => cause.name(),
        Effect::SnapshotNeeded { .. } => "snapshots",
    }
}
