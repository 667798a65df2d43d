//! Genuine inputs, made by the product itself, with which every corpus begins.

mod messages;
mod snapshots;
mod storage;

/// An input that its target accepts.
pub struct Seed {
    /// The target.
    pub target: &'static str,
    /// What it is.
    pub name: &'static str,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Every seed.
pub fn all() -> Vec<Seed> {
    let mut seeds = storage::seeds();
    seeds.extend(messages::seeds());
    seeds.extend(snapshots::seeds());
    seeds
}

fn seed(target: &'static str, name: &'static str, bytes: impl Into<Vec<u8>>) -> Seed {
    Seed { target, name, bytes: bytes.into() }
}
