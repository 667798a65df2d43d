//! Reads without a round, for as long as no other leader can have been elected (thesis, 6.4.1). Off
//! by default: unlike everything else here, it trusts clocks.
//!
//! The invariant: within the shortest election timeout after hearing a leader, a replica grants no
//! vote. A leader knows when each heartbeat round left. Once a quorum has answered a round, that
//! quorum elects nobody before the round's beginning plus the timeout (less the clocks' drift).

use std::collections::VecDeque;
use std::time::Duration;

use crate::ids::ReplicaId;
use crate::mutant::mutant;
use crate::raft::{Raft, Role};
use crate::time::Time;

/// What reads under a lease rest on. To be set alike at every replica of a group, before any of
/// them leads with it.
///
/// The times that the host gives must be read from the clock after what they come with has
/// happened: a message taken in with a time from before it was sent would make a promise shorter
/// than its leader believes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseConfig {
    /// By how much any replica's clock may run faster than any other's, in millionths, below
    /// 1,000,000.
    pub max_drift_ppm: u32,
}

/// A leader's lease.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Lease {
    /// When heartbeat rounds began that could still be of use.
    rounds: VecDeque<(u64, Time)>,
    /// The leader has asked another replica to campaign. That message may arrive at any time, so
    /// there is no lease in this term any more.
    pub(crate) forgone: bool,
}

impl Lease {
    /// No round of before counts any more.
    pub(crate) fn forget_rounds(&mut self) {
        self.rounds.clear();
    }
}

impl Raft {
    /// How long after hearing a leader this replica votes for nobody, by its own clock.
    fn promise(&self) -> Duration {
        self.config.election_timeout_min
    }

    /// Whether this replica has promised a leader, by hearing it, not to vote yet. A restart counts
    /// as hearing one, for what was promised before it is forgotten. Neither a newer term nor a
    /// suspicion ends the promise.
    pub(crate) fn has_promised(&self) -> bool {
        self.config.lease.is_some() && self.now.since(self.election.heard) < self.promise()
    }

    /// When the promise ends.
    pub(crate) fn promised_until(&self) -> Time {
        self.election.heard.after(self.promise())
    }

    /// A heartbeat round begins: it is measured from here, for its messages leave no earlier.
    pub(crate) fn note_round(&mut self) {
        if self.config.lease.is_none() {
            return;
        }
        let (now, useful) = (self.now, self.promise());
        let rounds = &mut self.lead.lease.rounds;
        while rounds.front().is_some_and(|&(_, began)| now.since(began) >= useful) {
            rounds.pop_front();
        }
        rounds.push_back((self.lead.round, now));
    }

    /// When the latest round began that this replica has answered; `None` if it is too long ago.
    fn answered_round_of(&self, id: ReplicaId) -> Option<Time> {
        let answered = self.lead.peers.get(&id).map_or(0, |peer| peer.acked_round);
        let rounds = &self.lead.lease.rounds;
        let after = rounds.partition_point(|&(round, _)| round <= answered);
        after.checked_sub(1).map(|at| rounds[at].1)
    }

    /// Whether no other replica can have been elected by now, so that the commit index covers every
    /// write answered.
    pub(crate) fn holds_lease(&self) -> bool {
        let Some(LeaseConfig { max_drift_ppm }) = self.config.lease else { return false };
        // A hand-over lets voters break their promise.
        let handing_over = self.lead.transfer.is_some() || self.lead.lease.forgone;
        let ended = handing_over && !mutant!(self.config, LeaseKeptDuringTransfer);
        if self.role != Role::Leader || ended {
            return false;
        }
        let lasts = self.promise() * (1_000_000 - max_drift_ppm) / 1_000_000;
        let own = self.config.id;
        // 0 is nobody's end of a lease: clocks may begin at any time, 0 included, and `lasts` is
        // positive.
        let ends = self.deciding().reached(|id| {
            let began = if id == own { Some(self.now) } else { self.answered_round_of(id) };
            began.map_or(0, |began| began.after(lasts).0)
        });
        self.now.0 < ends
    }
}
