//! Wall clocks and what requests have seen of them. Leaders are told the clocks of all nodes, of
//! which one is wrong, and must not believe it.

use doug_raft::{Clock, Stamp, Time};

use super::cluster::Cluster;

/// An hour, in milliseconds.
const HOUR: u64 = 3_600_000;

/// What a good wall clock shows.
pub(super) fn wall(now: Time) -> u64 {
    10 * HOUR + now.since(Time(0)).as_millis() as u64
}

impl Cluster {
    /// What the good wall clocks show, what the faulty one does, and the stamp that a request has
    /// seen: of another partition, which may be ahead.
    pub(super) fn draw_clocks(&mut self) -> (u64, u64, Stamp) {
        let truth = wall(self.now);
        let faulty = match self.clock_dice.between(0, 3) {
            0 => truth + HOUR,
            1 => truth - HOUR,
            2 => HOUR,
            _ => 0,
        };
        let ahead = if self.clock_dice.percent(30) { self.clock_dice.between(0, 3_000) } else { 0 };
        (truth, faulty, Stamp::first_of(Clock(truth - 1_500 + ahead)))
    }
}
