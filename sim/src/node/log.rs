//! A process's log: what arrives while a sync runs shares the next one.

use super::death::Death;
use super::process::{IDLE, MARK, Process};
use crate::context::Context;
use crate::events::NodeEvent;
use crate::mutants::Mutant;
use crate::time::{micros, millis};
use doug_node::flow::Appended;
use doug_node::host::Event;
use doug_storage::StorageError;
use doug_storage::log::Record;
use std::collections::BTreeMap;
use std::time::Duration;

/// Pause before a log without room is tried again.
const FULL: Duration = millis(5);
/// Places in the log's queue, for the bug put in.
const QUEUE: usize = 8;
/// A host is told of log pressure at most this often.
const LOG_PRESSURE_INTERVAL: Duration = millis(50);

fn is_batch(record: &Record) -> bool {
    matches!(record, Record::Batch { .. })
}

fn is_vote(record: &Record) -> bool {
    matches!(record, Record::HardState { .. })
}

impl Process {
    /// Appends what waits and begins a sync, unless one is under way.
    pub(super) fn begin_sync(&mut self, cx: &mut Context) -> Result<(), Death> {
        if self.syncing.is_some() || self.records.is_empty() {
            return Ok(());
        }
        let (forgets_votes, full) =
            (cx.plan.mutant == Mutant::VoteNotPersisted, self.full_log.is_some());
        let log = &mut self.log;
        let appended = self.records.append(|record| {
            if forgets_votes && is_vote(record) {
                return Ok(());
            }
            if full && is_batch(record) {
                return Err(StorageError::Busy { what: "the log", used: 0, limit: 0 });
            }
            log.append(record.clone()).map(drop)
        })?;
        if !self.records.is_empty() {
            cx.coverage.hit("log full");
            assert!(
                !self.log.is_wedged(),
                "{}: the log is full and can make no room: more than half of it waits \
                 for a majority",
                self.name()
            );
        }
        if appended.values().any(|appended| !appended.passed.is_empty()) {
            cx.coverage.hit("vote past a full log");
        }
        let (least, most) = cx.plan.sync;
        let mut takes = cx.random.duration_between(least, most)
            + cx.random.duration_below(self.slow_disk + micros(1));
        if appended.is_empty() {
            takes = takes.max(FULL);
        }
        self.syncing = Some(appended);
        if cx.plan.mutant == Mutant::AcknowledgedBeforeDurable {
            self.acknowledge(cx);
            self.syncing = Some(BTreeMap::new());
        }
        self.schedule(takes, NodeEvent::Synced, cx);
        Ok(())
    }

    /// The write and fdatasync take effect now; a crash before this lost them.
    pub(super) fn synced(&mut self, cx: &mut Context) -> Result<(), Death> {
        if self.syncing.is_none() {
            return Ok(());
        }
        self.log.sync()?;
        cx.coverage.hit("log sync");
        self.acknowledge(cx);
        self.keep_room(cx)?;
        self.schedule(MARK, NodeEvent::Mark, cx);
        self.begin_sync(cx)
    }

    /// Hosts hear what is durable.
    fn acknowledge(&mut self, cx: &mut Context) {
        for (host, Appended { upto, passed }) in self.syncing.take().unwrap_or_default() {
            self.post(host, Event::Persisted { upto, passed }, cx);
        }
    }

    /// The bug put in: a host that finds the log's queue full waits for a place in it.
    pub(super) fn waits_for_log(&self, cx: &Context) -> bool {
        cx.plan.mutant == Mutant::HostWaitsForLog && self.records.len() >= QUEUE
    }

    /// For a crash in the middle of a sync: lets the write reach the disk as far as that takes it.
    pub fn interrupt_sync(&mut self) {
        if self.syncing.take().is_some() {
            // It fails: the disk is about to lose power.
            drop(self.log.sync());
        }
    }

    /// A moment after a sync: marks, unless the log is busy again.
    pub(super) fn mark(&mut self, cx: &mut Context) -> Result<(), Death> {
        if self.syncing.is_none() && self.records.is_empty() && self.log.mark()? {
            cx.coverage.hit("log mark");
        }
        Ok(())
    }

    pub(super) fn idle(&mut self, cx: &mut Context) -> Result<(), Death> {
        self.mark(cx)?;
        self.keep_room(cx)?;
        self.schedule(IDLE, NodeEvent::Idle, cx);
        Ok(())
    }

    fn keep_room(&mut self, cx: &mut Context) -> Result<(), Death> {
        while self.log.maintain()? {
            cx.coverage.hit("segment retired");
        }
        let first = self.partitions.values().next().map(|partition| partition.key());
        let full = first.filter(|_| self.full_log.is_some());
        let Some(replica) = self.log.pressure().or(full) else { return Ok(()) };
        let host = self.host_of(replica.partition);
        if self.hosts[host].log_pressure_at.is_none_or(|at| cx.now - at >= LOG_PRESSURE_INTERVAL) {
            self.hosts[host].log_pressure_at = Some(cx.now);
            self.post(host, Event::LogPressure { replica }, cx);
        }
        Ok(())
    }
}
