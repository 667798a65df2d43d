//! A process's applying: one piece of work after the other, answers as they come.

use super::death::Death;
use super::hosts::is_sample;
use super::maintenance::Task;
use super::process::Process;
use super::reads::{refusal, written};
use crate::checks::Violation;
use crate::context::Context;
use crate::events::NodeEvent;
use crate::time::micros;
use bytes::Bytes;
use doug_node::apply::{ApplyError, ReplicaData, Unapplied};
use doug_node::background;
use doug_node::catalog;
use doug_node::flow::Next;
use doug_node::host::{Event, undecided};
use doug_node::work::RequestId;
use doug_storage::ReplicaKey;
use doug_storage::tree::{Pressure, ReadError};
use std::sync::Arc;

impl Process {
    pub(super) fn apply_soon(&mut self, cx: &mut Context) {
        if !self.applying && !self.to_apply.is_empty() {
            self.applying = true;
            let delay = cx.random.duration_below(micros(200));
            self.schedule(delay, NodeEvent::Apply, cx);
        }
    }

    pub(super) fn apply(&mut self, cx: &mut Context) -> Result<(), Death> {
        self.applying = false;
        let now = cx.now.exact();
        let (partitions, full) = (&self.partitions, self.memtables.is_full());
        let pressure = |replica: ReplicaKey| {
            let held = partitions.get(&replica.partition).filter(|held| held.key() == replica);
            held.map_or(Pressure::None, |held| background::pressure(held, full, &self.volume))
        };
        let work = match self.to_apply.next(now, pressure) {
            Next::Work(work) => work,
            Next::Wait(until) => {
                cx.coverage.hit("applying held back");
                if full {
                    cx.coverage.hit("memtables beyond their share");
                }
                let held: Vec<_> = self.partitions.values().cloned().collect();
                for partition in held.iter().filter(|held| held.pressure() != Pressure::None) {
                    self.maintain(partition, cx);
                }
                self.applying = true;
                self.schedule(until.since(now), NodeEvent::Apply, cx);
                return Ok(());
            }
            Next::Idle => return Ok(()),
        };
        let replica = work.replica;
        let Some(partition) = self.partition(replica) else {
            cx.coverage.hit("replica left before it had applied everything");
            self.leave_undecided(replica, work.waiting(), cx);
            self.apply_soon(cx);
            return Ok(());
        };
        self.check_memtables(cx)?;
        let last = work.batches.last().map(|apply| (apply.batch.base, apply.batch.last()));
        let before = partition.applied().index;
        let mut applied = match partition.apply(work) {
            Ok(applied) => applied,
            Err(Unapplied {
                error: ApplyError::Read { error: ReadError::Storage(error), .. },
                waiting,
            }) => {
                self.leave_if_damaged(replica, error, cx)?;
                self.leave_undecided(replica, waiting, cx);
                self.apply_soon(cx);
                return Ok(());
            }
            Err(Unapplied { error, .. }) => return Err(error.into()),
        };
        self.note_memtables(&partition, cx);
        if let Some(rest) = applied.rest.take() {
            cx.coverage.hit("applying waited for a descriptor");
            self.to_apply.put_back(now, replica, rest);
        }
        self.leave_undecided(replica, applied.overtaken, cx);
        let woken = if applied.skipped {
            self.watches.skipped(replica.partition)
        } else {
            self.watches.changed(replica.partition, &applied.changes)
        };
        self.wake_watches(woken, cx);
        let changed = replica.partition == catalog::PARTITION && applied.descriptor.is_some();
        if changed && self.lacks_creation() {
            let what = format!("{} has applied a change of members without it", self.name);
            let promise = "the creation document comes before the catalog's members change";
            return Err(Death::Broken(Violation::new(promise, what)));
        }
        if let Some(descriptor) = applied.descriptor {
            self.enqueue(Task::Publish(descriptor), cx);
        }
        for (request, outcome, stamp) in applied.outcomes {
            if !self.answer_outcome(request, (&outcome, stamp), cx)
                && let Some((request, _)) = self.requests.remove(&request)
            {
                cx.reply(self.index, request, written(&outcome));
            }
        }
        let host = self.host_of(replica.partition);
        let (index, feature_level) = (applied.index, applied.feature_level);
        let next_expiry = applied.next_expiry;
        let own = (self.name.as_str(), self.hello.level);
        cx.checks.versions.applied(own, replica, (index, feature_level))?;
        self.reader.note_commit(replica, index);
        let wanted = self.wanted(&partition);
        let event = Event::Applied { replica, index, feature_level, wanted, next_expiry };
        self.post(host, event, cx);
        if applied.wants_maintenance {
            self.maintain(&partition, cx);
        }
        let now = partition.applied().index;
        cx.checks.applied((self.index, self.life), replica, now)?;
        if now > before && last.is_some_and(|(base, last)| last == now && is_sample(base, last)) {
            cx.coverage.hit("replicas compared");
            // A damaged table may not even read; what clients are told is checked anyway.
            if !cx.losses.was_damaged(self.id) {
                cx.checks.machine(&self.name, replica.partition, &partition.checkpoint())?;
            }
        }
        self.apply_soon(cx);
        Ok(())
    }

    /// What the partition wants its leader to propose, given what its keyspace declares.
    fn wanted(&self, partition: &ReplicaData) -> Option<Bytes> {
        let map = self.map.as_ref()?;
        let keyspace = map.keyspace(partition.descriptor().keyspace)?;
        partition.wanted((keyspace.generation, keyspace.history))
    }

    /// Tells whoever waits for the outcome of a write that it is applied only elsewhere.
    fn leave_undecided(
        &mut self,
        replica: ReplicaKey,
        waiting: impl IntoIterator<Item = RequestId>,
        cx: &mut Context,
    ) {
        for request in waiting {
            let fault = undecided(replica.partition);
            if !self.refuse_operation(request, &fault, cx)
                && let Some((from, _)) = self.requests.remove(&request)
            {
                cx.reply(self.index, from, Err(refusal(&fault)));
            }
        }
    }

    fn maintain(&mut self, partition: &Arc<ReplicaData>, cx: &mut Context) {
        if partition.ask_for_maintenance() {
            self.enqueue(Task::Jobs(partition.key()), cx);
        }
    }
}
