//! When operations in flight are due: silence is told once, then the deadline ends them. One sweep
//! over the table does it, for a timer per operation would cost more than the operation.

use super::{Event, Slots, Stage};
use std::task::Waker;
use tokio::time::{Duration, Instant};

/// What a sweep found.
pub(in crate::connection) struct Swept {
    /// When to sweep again; none if nothing waits.
    pub(in crate::connection) next: Option<Instant>,
    /// Whether some operation found the server silent.
    pub(in crate::connection) found_silent: bool,
}

impl Slots {
    /// Ends what is past its deadline, marks what is silent, and says when to
    /// sweep again.
    pub(in crate::connection) fn sweep(
        &mut self,
        now: Instant,
        heard: Instant,
        patience: Duration,
        wake: &mut Vec<Waker>,
    ) -> Swept {
        let mut swept = Swept { next: None, found_silent: false };
        for index in 0..self.due.len() {
            let Some(due) = self.due[index] else { continue };
            if due <= now {
                swept.found_silent |= self.sweep_one(index, now, heard, patience, wake);
            }
            if let Some(due) = self.due[index] {
                swept.next = Some(swept.next.map_or(due, |next| next.min(due)));
            }
        }
        swept
    }

    /// Whether the slot is found silent now.
    fn sweep_one(
        &mut self,
        index: usize,
        now: Instant,
        heard: Instant,
        patience: Duration,
        wake: &mut Vec<Waker>,
    ) -> bool {
        let slot = &mut self.slots[index];
        if now >= slot.deadline {
            if let Stage::Orphan = slot.stage {
                self.release(index);
            } else {
                let possibly_sent = matches!(slot.stage, Stage::Sent);
                self.end(index, Event::Deadline { possibly_sent }, wake);
            }
            return false;
        }
        let silent_at = slot.submitted.max(heard) + patience;
        if now < silent_at {
            self.due[index] = Some(silent_at.min(slot.deadline));
            return false;
        }
        slot.silent = true;
        wake.extend(slot.waker.take());
        self.due[index] = Some(slot.deadline);
        true
    }
}
