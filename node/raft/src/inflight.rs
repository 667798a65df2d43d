//! What was sent to a peer and is not yet acknowledged.

use std::collections::VecDeque;

use crate::ids::Index;

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Inflight {
    messages: VecDeque<Sent>,
    batches: usize,
    bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Sent {
    last: Index,
    batches: usize,
    bytes: u64,
}

impl Inflight {
    pub(crate) fn add(&mut self, last: Index, batches: usize, bytes: u64) {
        self.batches += batches;
        self.bytes += bytes;
        self.messages.push_back(Sent { last, batches, bytes });
    }

    /// Forgets the messages whose every batch the peer holds.
    pub(crate) fn acknowledge(&mut self, matched: Index) {
        while self.messages.front().is_some_and(|sent| sent.last <= matched) {
            let sent = self.messages.pop_front().expect("it was just seen");
            self.batches -= sent.batches;
            self.bytes -= sent.bytes;
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Inflight::default();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(crate) fn batches(&self) -> usize {
        self.batches
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}
