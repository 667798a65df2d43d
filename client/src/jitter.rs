//! Spreads waits, so that a thousand clients of a dead leader do not all come
//! back in the same millisecond.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A source of spread, repeatable from its seed (SplitMix64).
#[derive(Debug)]
pub(crate) struct Jitter(AtomicU64);

impl Jitter {
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// Between half and one and a half of `mean`.
    pub(crate) fn spread(&self, mean: Duration) -> Duration {
        let part = (self.next() >> 40) as f64 / (1_u64 << 24) as f64;
        mean.mul_f64(0.5 + part)
    }

    /// Any time up to `most`.
    pub(crate) fn up_to(&self, most: Duration) -> Duration {
        let part = (self.next() >> 40) as f64 / (1_u64 << 24) as f64;
        most.mul_f64(part)
    }

    /// The next number.
    pub(crate) fn next(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut mixed = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_spread_between_half_and_one_and_a_half() {
        let jitter = Jitter::new(7);
        let mean = Duration::from_millis(100);
        let waits: Vec<_> = (0..100).map(|_| jitter.spread(mean)).collect();
        assert!(waits.iter().all(|wait| *wait >= mean / 2 && *wait <= mean * 3 / 2));
        assert!(waits.iter().any(|wait| *wait != waits[0]));
    }
}
