//! One node of a group: its process, if one runs, on a disk that outlives it, with a clock of its
//! own.

use std::collections::{BTreeMap, BTreeSet};

use doug_raft::{Config, Index, NodeLiveness, Raft, ReadId, Term, Time};

use super::disk::{Disk, Machine};
use super::quiesce::SILENCE;

pub struct Node {
    /// `None` while it is down.
    pub raft: Option<Raft>,
    pub disk: Disk,
    pub machine: Machine,
    pub(super) config: Config,
    pub(super) clock: Clock,
    pub(super) process: u64,
    pub(super) liveness: NodeLiveness<u64>,
    pub(super) disk_busy_until: Time,
    pub(super) tick_at: Time,
    pub(super) reads: BTreeMap<ReadId, Index>,
    pub reads_ready: BTreeMap<ReadId, Index>,
    pub reads_aborted: BTreeSet<ReadId>,
}

/// A machine's own idea of time, which its core is told.
#[derive(Clone, Copy, Default)]
pub struct Clock {
    pub offset: u64,
    /// By how much it runs fast, in millionths.
    pub fast_ppm: u64,
}

impl Clock {
    pub(super) fn local(self, now: Time) -> Time {
        Time(self.offset + now.0 + now.0 * self.fast_ppm / 1_000_000)
    }

    /// The first moment at which it shows `local` or more.
    pub(super) fn when(self, local: Time) -> Time {
        let elapsed = u128::from(local.0.saturating_sub(self.offset));
        Time((elapsed * 1_000_000).div_ceil(u128::from(1_000_000 + self.fast_ppm)) as u64)
    }
}

impl Node {
    /// Changes the settings of its next process.
    pub fn configure(&mut self, change: impl FnOnce(&mut Config)) {
        change(&mut self.config);
    }

    pub(super) fn down(config: Config, disk: Disk) -> Node {
        Node {
            raft: None,
            disk,
            machine: Machine::default(),
            config,
            clock: Clock::default(),
            process: 0,
            liveness: NodeLiveness::new(SILENCE),
            disk_busy_until: Time(0),
            tick_at: Time(0),
            reads: BTreeMap::new(),
            reads_ready: BTreeMap::new(),
            reads_aborted: BTreeSet::new(),
        }
    }

    /// Flushes the state machine and lets the log forget what it holds.
    pub fn flush(&mut self) {
        let Some(raft) = &mut self.raft else { return };
        let term =
            raft.term_at(self.machine.applied).expect("what is applied was not compacted further");
        self.disk.flush(&self.machine, term);
        raft.compact(self.machine.applied);
    }

    pub(super) fn install(&mut self, now: Time, machine: Machine, term: Term) -> bool {
        let index = machine.applied;
        let Some(raft) = &mut self.raft else { return false };
        if index <= raft.applied_index() {
            return true;
        }
        let log_stays = raft.agrees_with((index, term));
        self.disk.install(&machine, term, log_stays);
        raft.restore(now, (index, term), machine.time(), machine.membership.clone());
        self.machine = machine;
        true
    }
}
