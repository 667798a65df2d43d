//! The weather of a group, and the dice it is drawn from: how slow and how lossy its network is,
//! what is cut, how long its disks take.

use std::collections::BTreeSet;
use std::time::Duration;

use super::MILLISECOND;

/// A small generator of the tests' own: theirs must not shift when the core draws one number more.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x9e37_79b9_7f4a_7c15)
    }

    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        low + (mixed ^ (mixed >> 29)) % (high - low + 1)
    }

    /// In whole microseconds.
    pub fn duration(&mut self, low: Duration, high: Duration) -> Duration {
        let microseconds = |duration: Duration| duration.as_micros() as u64;
        Duration::from_micros(self.between(microseconds(low), microseconds(high)))
    }

    pub fn percent(&mut self, chance: u64) -> bool {
        self.between(1, 100) <= chance
    }
}

/// How badly network and disks behave.
#[derive(Clone, Debug)]
pub struct Weather {
    /// The shortest and the longest.
    pub latency: (Duration, Duration),
    /// How long a disk takes to make a record durable: the shortest and the longest.
    pub sync: (Duration, Duration),
    pub loss_percent: u64,
    pub duplicate_percent: u64,
    /// Messages that turn up when nobody expects them any more, up to a second later.
    pub stray_percent: u64,
    /// Ordered pairs between which nothing passes.
    pub cut: BTreeSet<(u64, u64)>,
}

impl Weather {
    /// A millisecond each way, half a millisecond to the disk, and nothing goes wrong.
    pub fn fair() -> Weather {
        Weather {
            latency: (MILLISECOND, MILLISECOND),
            sync: (MILLISECOND / 2, MILLISECOND / 2),
            loss_percent: 0,
            duplicate_percent: 0,
            stray_percent: 0,
            cut: BTreeSet::new(),
        }
    }
}
