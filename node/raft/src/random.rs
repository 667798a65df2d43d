//! SplitMix64 (Steele, Lea, Flood 2014): enough to spread timeouts, and the same everywhere from
//! one seed.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use crate::time::microseconds;

#[derive(Clone, Debug)]
pub(crate) struct Random {
    state: u64,
}

/// A checker that tries every order of events has no use for telling states apart by the chance
/// that led to them.
impl PartialEq for Random {
    fn eq(&self, _: &Random) -> bool {
        true
    }
}

impl Eq for Random {}

impl Hash for Random {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Random {
    /// Mixes all parts, so that replicas given one seed, and one replica started twice, still
    /// differ.
    pub(crate) fn from_parts(parts: &[u64]) -> Random {
        let mut random = Random { state: 0x9e37_79b9_7f4a_7c15 };
        for part in parts {
            random.state ^= part;
            random.state = random.next();
        }
        random
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform enough in `low..=high`; the bias of the remainder is below 2⁻⁴⁰ for ranges of
    /// seconds.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    /// The same of durations, in whole microseconds.
    pub(crate) fn duration(&mut self, low: Duration, high: Duration) -> Duration {
        Duration::from_micros(self.between(microseconds(low), microseconds(high)))
    }
}
