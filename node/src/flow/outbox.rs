//! What waits for a peer: small messages have a way past bulk, and both are bounded in
//! bytes.
//!
//! Heartbeats, votes and acknowledgements keep a group alive; appends with batches may be
//! as large as the link is slow. A heartbeat that stood behind megabytes would come too
//! late, so it never does: it leaves with the next message. Few batches delay nobody, and
//! each message costs both sides a wake-up: they leave with what is small. What finds no room
//! is dropped, as a network may do: the core repeats what matters.

use super::bulk::{bulk_bytes, is_bulk};
use doug_proto::v1::{PeerTurn, RaftMessage};
use prost::Message;
use std::collections::VecDeque;

/// Bytes of small messages that wait.
const SMALL_BYTES: usize = 4 << 20;
/// So many bytes of appends leave with small messages.
const BULK_WITH_SMALL: usize = 64 << 10;
/// Appends that wait are merged into messages of about this many bytes.
const MESSAGE_BYTES: usize = 1 << 20;

/// The messages that wait for one peer.
#[derive(Debug)]
pub struct Outbox {
    /// Bytes of appends that may wait.
    most_bulk: usize,
    small: PeerTurn,
    small_bytes: usize,
    bulk: VecDeque<RaftMessage>,
    bulk_bytes: usize,
    /// The last message was a small one.
    small_left: bool,
    /// A turn without content waits: it opens a stream.
    greets: bool,
    /// What the sender's wall clock showed last, which every message says.
    clock: u64,
}

impl Outbox {
    /// An empty one, in which `most_bulk` bytes of appends may wait.
    pub fn new(most_bulk: usize) -> Self {
        Self {
            most_bulk,
            small: PeerTurn::default(),
            small_bytes: 0,
            bulk: VecDeque::new(),
            bulk_bytes: 0,
            small_left: false,
            greets: false,
            clock: 0,
        }
    }

    /// Adds a turn, as far as there is room.
    pub fn push(&mut self, mut turn: PeerTurn) {
        self.clock = turn.clock;
        if turn.messages.is_empty()
            && turn.heartbeats.is_empty()
            && turn.heartbeat_answers.is_empty()
            && turn.node_heartbeats.is_empty()
        {
            self.greets = true;
            return;
        }
        for append in turn.messages.extract_if(.., |message| is_bulk(message)) {
            let bytes = bulk_bytes(&append);
            if self.bulk_bytes + bytes <= self.most_bulk || self.bulk.is_empty() {
                self.bulk_bytes += bytes;
                self.bulk.push_back(append);
            }
        }
        let bytes = turn.encoded_len();
        if self.small_bytes + bytes <= SMALL_BYTES {
            self.small_bytes += bytes;
            self.small.messages.extend(turn.messages);
            self.small.heartbeats.extend(turn.heartbeats);
            self.small.heartbeat_answers.extend(turn.heartbeat_answers);
            self.small.node_heartbeats.extend(turn.node_heartbeats);
        }
    }

    /// The next message: small ones first, with all of the bulk if that is little, or else some of
    /// it after each of them.
    pub fn take(&mut self) -> Option<PeerTurn> {
        let small_waits = self.small_bytes > 0 || self.greets;
        if small_waits && (self.bulk.is_empty() || !self.small_left) {
            self.small_left = true;
            self.greets = false;
            self.small_bytes = 0;
            let mut small = std::mem::take(&mut self.small);
            if self.bulk_bytes <= BULK_WITH_SMALL {
                small.messages.extend(self.bulk.drain(..));
                self.bulk_bytes = 0;
            }
            return Some(PeerTurn { clock: self.clock, ..small });
        }
        self.small_left = false;
        let mut turn = PeerTurn { clock: self.clock, ..PeerTurn::default() };
        let mut bytes = 0;
        while let Some(append) = self.bulk.front() {
            let size = bulk_bytes(append);
            if bytes > 0 && bytes + size > MESSAGE_BYTES {
                break;
            }
            bytes += size;
            turn.messages.extend(self.bulk.pop_front());
        }
        self.bulk_bytes -= bytes;
        (bytes > 0).then_some(turn)
    }

    /// Drops everything: it is stale.
    pub fn clear(&mut self) {
        *self = Self::new(self.most_bulk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BULK_BYTES: usize = 16 << 20;
    use doug_proto::v1::{Append, Heartbeat, raft_message::Message as Content};

    fn append(bytes: usize) -> PeerTurn {
        let batches = vec![vec![0; bytes].into()];
        let content = Content::Append(Append { batches, ..Default::default() });
        let message = RaftMessage { message: Some(content), ..Default::default() };
        PeerTurn { messages: vec![message], ..Default::default() }
    }

    fn heartbeat(partition: u64) -> PeerTurn {
        let heartbeats = vec![Heartbeat { partition, ..Default::default() }];
        PeerTurn { heartbeats, ..Default::default() }
    }

    #[test]
    fn a_heartbeat_leaves_before_the_appends_that_wait() {
        let mut outbox = Outbox::new(BULK_BYTES);
        (0..4).for_each(|_| outbox.push(append(1 << 20)));
        outbox.push(heartbeat(7));
        let first = outbox.take().unwrap();
        assert_eq!((first.heartbeats.len(), first.messages.len()), (1, 0));
        assert_eq!(outbox.take().unwrap().messages.len(), 1);
    }

    #[test]
    fn appends_leave_though_heartbeats_come_all_the_time() {
        let mut outbox = Outbox::new(BULK_BYTES);
        outbox.push(append(BULK_WITH_SMALL + 1));
        outbox.push(heartbeat(1));
        assert_eq!(outbox.take().unwrap().heartbeats.len(), 1);
        outbox.push(heartbeat(2));
        assert_eq!(outbox.take().unwrap().messages.len(), 1);
        assert_eq!(outbox.take().unwrap().heartbeats.len(), 1);
        assert_eq!(outbox.take(), None);
    }

    #[test]
    fn few_batches_leave_with_what_is_small() {
        let mut outbox = Outbox::new(BULK_BYTES);
        outbox.push(append(10));
        outbox.push(heartbeat(1));
        let turn = outbox.take().unwrap();
        assert_eq!((turn.heartbeats.len(), turn.messages.len()), (1, 1));
        assert_eq!(outbox.take(), None);
        outbox.push(append(BULK_WITH_SMALL));
        assert_eq!(outbox.take().unwrap().messages.len(), 1, "its bytes were counted off");
        assert_eq!(outbox.bulk_bytes, 0);
    }

    #[test]
    fn what_waits_is_bounded_in_bytes_and_merged() {
        let mut outbox = Outbox::new(BULK_BYTES);
        (0..1_000).for_each(|_| outbox.push(append(100 << 10)));
        assert!(outbox.bulk_bytes <= BULK_BYTES);
        let message = outbox.take().unwrap();
        assert!((2..=10).contains(&message.messages.len()), "{}", message.messages.len());
        (0..1_000_000).for_each(|partition| outbox.push(heartbeat(partition)));
        assert!(outbox.small_bytes <= SMALL_BYTES);
    }

    #[test]
    fn an_append_larger_than_all_room_leaves_alone() {
        let mut outbox = Outbox::new(BULK_BYTES);
        outbox.push(append(BULK_BYTES + 1));
        outbox.push(append(10));
        assert_eq!(outbox.take().unwrap().messages.len(), 1);
        assert_eq!(outbox.take(), None, "there was no room for the second");
    }

    #[test]
    fn an_empty_turn_opens_a_stream() {
        let mut outbox = Outbox::new(BULK_BYTES);
        outbox.push(PeerTurn::default());
        assert_eq!(outbox.take(), Some(PeerTurn::default()));
        assert_eq!(outbox.take(), None);
    }
}
