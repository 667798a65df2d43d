//! How far a peer has come, as its leader knows.

use std::time::Duration;

use crate::ids::Index;
use crate::inflight::Inflight;
use crate::time::Time;

/// How the leader sends to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProgressState {
    /// One append at a time, to find where the logs agree.
    Probe,
    /// A pipeline of appends.
    Replicate,
    /// Nothing but heartbeats: a snapshot is on its way.
    Snapshot,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Progress {
    /// Everything up to here is durable there and equal.
    pub(crate) matched: Index,
    /// The next index to send, the base of a batch or one past the log's end.
    pub(crate) next: Index,
    pub(crate) state: ProgressState,
    pub(crate) inflight: Inflight,
    /// A probe is under way.
    pub(crate) probing: bool,
    /// The last index of what was sent last.
    pub(crate) sent: Index,
    /// A heartbeat round, and what had been sent when it left. Whoever answers it having received
    /// less has lost a message.
    pub(crate) mark: Option<(u64, Index)>,
    /// The greatest commit index told.
    pub(crate) commit_told: Index,
    /// The greatest heartbeat round answered in this term.
    pub(crate) acked_round: u64,
    /// When the peer was last heard in this term; its start counts.
    pub(crate) heard: Time,
    /// Whether it spoke then, and `heard` is no mere beginning.
    pub(crate) spoke: bool,
    /// Pauses of this process for which `heard` was put off since then.
    pub(crate) compensated: Duration,
}

impl Progress {
    pub(crate) fn note_heard(&mut self, now: Time) {
        (self.heard, self.compensated, self.spoke) = (now, Duration::ZERO, true);
    }

    /// Its silence is counted from now on, though it has not spoken.
    pub(crate) fn count_silence_from(&mut self, now: Time) {
        (self.heard, self.compensated, self.spoke) = (now, Duration::ZERO, false);
    }

    pub(crate) fn new(next: Index, now: Time) -> Progress {
        Progress {
            matched: 0,
            next,
            state: ProgressState::Probe,
            inflight: Inflight::default(),
            probing: false,
            sent: 0,
            mark: None,
            commit_told: 0,
            acked_round: 0,
            heard: now,
            spoke: false,
            compensated: Duration::ZERO,
        }
    }

    /// Goes back to one message at a time, starting at `next`.
    pub(crate) fn probe_from(&mut self, next: Index) {
        self.state = ProgressState::Probe;
        self.next = next;
        self.probing = false;
        self.mark = None;
        self.inflight.clear();
    }

    pub(crate) fn await_snapshot(&mut self) {
        self.probe_from(self.next);
        self.state = ProgressState::Snapshot;
    }

    pub(crate) fn is_awaiting_snapshot(&self) -> bool {
        self.state == ProgressState::Snapshot
    }

    /// Sends nothing until the peer answers a heartbeat: whatever it has verified is less than
    /// `last_index`.
    pub(crate) fn pause_until_heard(&mut self, last_index: Index) {
        self.probing = true;
        self.sent = last_index;
    }

    /// The peer may have lost what it acknowledged: where the logs part is to be found anew.
    pub(crate) fn distrust(&mut self, next: Index) {
        self.matched = 0;
        if self.state != ProgressState::Snapshot {
            self.probe_from(next);
        }
    }

    /// The peer holds everything up to `matched`.
    pub(crate) fn acknowledge(&mut self, matched: Index) {
        self.matched = self.matched.max(matched);
        self.inflight.acknowledge(self.matched);
        let settled = match self.state {
            ProgressState::Replicate => false,
            // An old acknowledgement, below what the probe asks about, settles nothing.
            ProgressState::Probe => self.matched + 1 >= self.next,
            ProgressState::Snapshot => self.matched + 1 > self.next,
        };
        if settled {
            self.probe_from(self.matched + 1);
            self.state = ProgressState::Replicate;
        }
        self.next = self.next.max(self.matched + 1);
    }

    /// Whether something sent has not been answered.
    pub(crate) fn awaits_answer(&self) -> bool {
        self.probing || !self.inflight.is_empty()
    }
}
