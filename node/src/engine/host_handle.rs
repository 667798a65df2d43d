//! A host as the other threads know it.

use super::mailbox::{Input, Mailbox};
use crate::host::{Event, Host};
use doug_raft::Time;
use doug_storage::ReplicaKey;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// A host's mailbox, and what its thread last said of itself.
#[derive(Debug, Default)]
pub struct HostHandle {
    /// Its mail.
    pub mailbox: Mailbox,
    log_pressure_at: AtomicU64,
    leaderships: AtomicUsize,
    quiesced: AtomicUsize,
    ambiguous_tails: AtomicUsize,
    clock_offset: AtomicI64,
    caught_up: AtomicBool,
    log_backlog: AtomicU64,
}

impl HostHandle {
    /// Tells the host something. Never waits.
    pub fn send(&self, input: impl Into<Input>) {
        self.mailbox.send(input.into());
    }

    /// The log is short of room because of this replica; repeated at most every 50 ms.
    pub fn note_log_pressure(&self, replica: ReplicaKey, now: Time) {
        let before = self.log_pressure_at.load(Ordering::Relaxed);
        if now.since(Time(before)) >= Duration::from_millis(50) {
            self.log_pressure_at.store(now.0, Ordering::Relaxed);
            self.send(Event::LogPressure { replica });
        }
    }

    /// What the host's thread says of its host.
    pub fn note(&self, now: Time, host: &Host) {
        self.leaderships.store(host.leaderships(), Ordering::Relaxed);
        self.quiesced.store(host.quiesced(), Ordering::Relaxed);
        self.ambiguous_tails.store(host.ambiguous_tails(), Ordering::Relaxed);
        self.clock_offset.store(host.clock_offset(now), Ordering::Relaxed);
        self.caught_up.store(host.caught_up(), Ordering::Relaxed);
        self.log_backlog.store(host.log_backlog(), Ordering::Relaxed);
    }

    /// Bytes that it has given to the log and that are not durable yet.
    pub fn log_backlog(&self) -> u64 {
        self.log_backlog.load(Ordering::Relaxed)
    }

    /// How many partitions it leads.
    pub fn leaderships(&self) -> usize {
        self.leaderships.load(Ordering::Relaxed)
    }

    /// By how many milliseconds the node's clock is ahead of what this host hears of others', or
    /// behind it if negative.
    pub fn clock_offset(&self) -> i64 {
        self.clock_offset.load(Ordering::Relaxed)
    }

    /// How many of its replicas have yet to find out whether they lost what they had acknowledged.
    pub fn ambiguous_tails(&self) -> usize {
        self.ambiguous_tails.load(Ordering::Relaxed)
    }

    /// How many of its replicas are quiesced.
    pub fn quiesced(&self) -> usize {
        self.quiesced.load(Ordering::Relaxed)
    }

    /// Whether each of its replicas has caught up once.
    pub fn caught_up(&self) -> bool {
        self.caught_up.load(Ordering::Relaxed)
    }
}
