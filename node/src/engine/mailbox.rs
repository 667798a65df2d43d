//! A host's mailbox: consensus goes before requests (see [`Inbox`]).

use super::host_thread::Input;
use crate::flow::Inbox;
use parking_lot::{Condvar, Mutex};
use std::time::Duration;

/// Mail of one host. Bounded by what fills it: requests by their budget, peers by their
/// room, the node's own threads by the work they were given.
#[derive(Debug, Default)]
pub struct Mailbox {
    inbox: Mutex<Inbox<Input>>,
    filled: Condvar,
}

impl Mailbox {
    /// Adds one piece of mail.
    pub fn send(&self, input: Input) {
        self.inbox.lock().push(input.event.lane(), input);
        self.filled.notify_one();
    }

    /// Moves the mail of one turn to the end of `turn`; waits for some at most so long.
    pub fn take_turn(&self, turn: &mut Vec<Input>, wait: Duration) {
        let mut inbox = self.inbox.lock();
        if inbox.is_empty() {
            self.filled.wait_for(&mut inbox, wait);
        }
        inbox.take_turn(turn);
    }
}
