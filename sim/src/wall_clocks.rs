//! The nodes' wall clocks: a few tenths of a second apart, a little fast or slow; and one of them
//! is faulty.

use crate::random::Random;
use crate::time::{ClockFault, SimTime};
use doug_raft::Clock;

/// What wall clocks show at the beginning, in milliseconds since 1970.
const BEGINNING: i64 = 1_767_225_600_000;
/// By how many milliseconds good clocks differ from the truth at first.
const APART: i64 = 100;
/// By how many microseconds a second good clocks run fast or slow.
const DRIFT: i64 = 200;
/// By how many milliseconds a partition's clock may be ahead of the truth while good clocks decide
/// it: they are up to [`APART`] ahead and drift; and a leader whose monotone clock jumps lets them
/// go on for two seconds, not more.
const SLACK: i64 = APART + 200 + 2_000;

#[derive(Clone, Copy, Debug)]
struct WallClock {
    offset: i64,
    drift: i64,
    frozen: Option<Clock>,
}

impl WallClock {
    fn show(self, now: SimTime) -> Clock {
        let now = now.as_micros() as i64;
        let shows = BEGINNING + self.offset + (now + now * self.drift / 1_000_000) / 1_000;
        self.frozen.unwrap_or(Clock(shows as u64))
    }
}

/// All of them, by node. Only one, drawn by the seed, ever jumps or stands still: it is no majority
/// of any group's voters.
#[derive(Debug)]
pub struct WallClocks {
    clocks: Vec<WallClock>,
    faulty: usize,
}

impl WallClocks {
    /// Those of so many nodes.
    pub fn new(seed: u64, nodes: usize) -> Self {
        let mut random = Random::for_purpose(seed, 19);
        let mut around = |most: i64| random.below(2 * most as u64) as i64 - most;
        let mut clock = || WallClock { offset: around(APART), drift: around(DRIFT), frozen: None };
        let clocks = (0..nodes).map(|_| clock()).collect();
        Self { clocks, faulty: random.below(nodes as u64) as usize }
    }

    /// What a node's clock shows.
    pub fn show(&self, node: usize, now: SimTime) -> Clock {
        self.clocks[node].show(now)
    }

    /// The greatest clock that a batch may have by now.
    pub fn bound(now: SimTime) -> Clock {
        Clock((BEGINNING + SLACK) as u64 + now.as_micros() / 1_000)
    }

    /// Something happens to the faulty clock. Returns its node.
    pub fn disturb(&mut self, now: SimTime, fault: ClockFault) -> usize {
        let clock = &mut self.clocks[self.faulty];
        match fault {
            ClockFault::Ahead(by) => clock.offset += by.as_millis() as i64,
            ClockFault::Back(by) => clock.offset -= by.as_millis() as i64,
            ClockFault::Frozen => clock.frozen = Some(clock.show(now)),
        }
        self.faulty
    }

    /// The faulty clock is set right.
    pub fn mend(&mut self) {
        let clock = &mut self.clocks[self.faulty];
        (clock.offset, clock.frozen) = (0, None);
    }
}
