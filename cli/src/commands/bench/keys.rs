//! Keys and values to measure with: the same in every run.

use bytes::Bytes;

/// SplitMix64 (Steele, Lea and Flood, 2014): fast, and good enough to spread keys.
pub struct Random(u64);

impl Random {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// The key of this number.
pub fn key(number: u64) -> Bytes {
    Bytes::from(format!("bench/{number:012}"))
}

/// A value that does not compress, so that the engine gets no gift.
pub fn value(size: usize) -> Bytes {
    let mut random = Random::new(1);
    (0..size).map(|_| random.next() as u8).collect()
}
