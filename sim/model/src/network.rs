//! Messages under way: in no order, each delivered once or never.

use doug_raft::{Message, ReplicaId};
use std::hash::{DefaultHasher, Hash, Hasher};

/// A message and its addresses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Envelope {
    /// The sender.
    pub from: ReplicaId,
    /// The receiver.
    pub to: ReplicaId,
    /// What it says.
    pub message: Message,
}

/// A bag of messages, kept in an order that depends only on what is in it: states that differ only
/// in when a message was sent are the same state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Network {
    messages: Vec<(u64, Envelope)>,
}

impl Network {
    /// Puts a message in.
    pub fn send(&mut self, envelope: Envelope) {
        let at = self.position(&envelope);
        self.messages.insert(at, (fingerprint(&envelope), envelope));
    }

    /// Takes a message out.
    pub fn take(&mut self, envelope: &Envelope) {
        let at = self.position(envelope);
        self.messages.remove(at);
    }

    fn position(&self, envelope: &Envelope) -> usize {
        let key = fingerprint(envelope);
        self.messages.partition_point(|(other, _)| *other < key)
    }

    /// The messages that differ from one another.
    pub fn distinct(&self) -> impl Iterator<Item = &Envelope> {
        let repeated = |at: usize| at > 0 && self.messages[at - 1].0 == self.messages[at].0;
        (0..self.messages.len()).filter(move |&at| !repeated(at)).map(|at| &self.messages[at].1)
    }

    /// Loses what can change nothing any more: messages that `is_void` says so of.
    pub fn prune(&mut self, is_void: impl Fn(&Envelope) -> bool) {
        self.messages.retain(|(_, envelope)| !is_void(envelope));
    }
}

fn fingerprint(envelope: &Envelope) -> u64 {
    let mut hasher = DefaultHasher::new();
    envelope.hash(&mut hasher);
    hasher.finish()
}
