//! Waiting for what must come to pass.
#![allow(clippy::disallowed_types, reason = "a real cluster keeps real time")]

use std::time::{Duration, Instant};

/// Between two attempts: each usually asks the API server.
const PAUSE: Duration = Duration::from_millis(200);

/// Tries until there is something, and returns it.
///
/// # Panics
/// When there is nothing `within` that time: `what` was awaited in vain.
pub fn until<T>(what: &str, within: Duration, mut attempt: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(began.elapsed() < within, "{what}: not within {within:?}");
        std::thread::sleep(PAUSE);
    }
}

/// Insists that something holds from now on for so long.
///
/// # Panics
/// When it does not, with `what`.
pub fn always(what: &str, during: Duration, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while began.elapsed() < during {
        assert!(holds(), "{what}: no longer so after {:?}", began.elapsed());
        std::thread::sleep(PAUSE);
    }
}

/// Seconds, shortly.
pub const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
