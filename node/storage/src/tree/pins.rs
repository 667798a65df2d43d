//! Revisions that scans hold on to, and the floor below which versions may be gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// Counts pins by revision. Pinning and raising the floor exclude each other, so a
/// job never collects what was pinned before it began.
#[derive(Debug, Default)]
pub(crate) struct Pins(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    counts: BTreeMap<u64, usize>,
    floor: u64,
}

impl Pins {
    pub(crate) fn starting_at(floor: u64) -> Arc<Self> {
        let state = State { counts: BTreeMap::new(), floor };
        Arc::new(Self(Mutex::new(state)))
    }

    /// Pins what `revision` answers, called while the floor cannot rise; or says the
    /// floor if that is above it.
    pub(crate) fn pin(self: &Arc<Self>, revision: impl FnOnce() -> u64) -> Result<Pin, (u64, u64)> {
        let mut state = self.0.lock();
        let revision = revision();
        if revision < state.floor {
            return Err((revision, state.floor));
        }
        *state.counts.entry(revision).or_default() += 1;
        Ok(Pin { pins: Arc::clone(self), revision })
    }

    /// Raises the floor to `wanted`, or to the oldest pin if that is lower; returns it.
    pub(crate) fn raise_floor(&self, wanted: u64) -> u64 {
        let mut state = self.0.lock();
        let oldest = state.counts.keys().next().copied().unwrap_or(u64::MAX);
        state.floor = state.floor.max(wanted.min(oldest));
        state.floor
    }

    /// Raises the floor past any pin: their revisions are gone with the tables replaced.
    pub(crate) fn force_floor(&self, floor: u64) {
        let mut state = self.0.lock();
        state.floor = state.floor.max(floor);
    }

    pub(crate) fn oldest(&self) -> Option<u64> {
        self.0.lock().counts.keys().next().copied()
    }

    fn unpin(&self, revision: u64) {
        let mut state = self.0.lock();
        if let Some(count) = state.counts.get_mut(&revision) {
            *count -= 1;
            if *count == 0 {
                state.counts.remove(&revision);
            }
        }
    }
}

/// Keeps a revision readable until it is dropped.
#[derive(Debug)]
pub struct Pin {
    pins: Arc<Pins>,
    revision: u64,
}

impl Pin {
    /// The revision held.
    pub fn revision(&self) -> u64 {
        self.revision
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.pins.unpin(self.revision);
    }
}
