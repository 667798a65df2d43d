//! A host's mailbox: consensus goes before requests (see [`Inbox`]).

use crate::flow::Inbox;
use crate::host::Event;
use parking_lot::{Condvar, Mutex};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// An event, and the room it takes in its sender's bounded queue.
#[derive(Debug)]
pub struct Input {
    /// What happened.
    pub event: Event,
    /// Given back once the host has seen the event.
    pub room: [Option<OwnedSemaphorePermit>; 2],
}

impl From<Event> for Input {
    fn from(event: Event) -> Self {
        Self { event, room: [None, None] }
    }
}

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
