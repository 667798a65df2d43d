//! Scan snapshots that are kept readable between two pages.

use doug_raft::Time;
use doug_storage::tree::Pin;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::time::Duration;

/// A scan that asks for no further page lets its snapshot go after this long.
const KEPT: Duration = Duration::from_secs(60);
/// Most snapshots kept; beyond, the one that ends first goes.
const MOST: usize = 1_024;

/// Pins by partition and revision, each until it expires.
#[derive(Debug, Default)]
pub struct ScanPins {
    pins: Mutex<BTreeMap<(u64, u64), (Pin, Time)>>,
}

impl ScanPins {
    /// Keeps the pin's revision readable for a while, or longer if it is kept already.
    pub fn keep(&self, partition: u64, pin: Pin, now: Time) {
        let mut pins = self.pins.lock();
        pins.insert((partition, pin.revision()), (pin, now.after(KEPT)));
        if pins.len() > MOST {
            let first = pins.iter().min_by_key(|(_, (_, end))| *end).map(|(place, _)| *place);
            first.and_then(|place| pins.remove(&place));
        }
    }

    /// Prolongs a pin, if it is still held.
    pub fn renew(&self, partition: u64, revision: u64, now: Time) {
        if let Some((_, end)) = self.pins.lock().get_mut(&(partition, revision)) {
            *end = now.after(KEPT);
        }
    }

    /// Lets go of pins that have expired.
    pub fn expire(&self, now: Time) {
        self.pins.lock().retain(|_, (_, end)| *end > now);
    }
}
