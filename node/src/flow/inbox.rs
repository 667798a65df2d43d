//! A host's mail: consensus goes before requests.
//!
//! Messages of peers, ticks and the word of the node's own threads have a way past the
//! requests of clients, however many wait: a leader whose acknowledgements stood behind
//! ten thousand writes would miss its heartbeats, and lose its leaderships to the load.

use std::collections::VecDeque;

/// Which of the two queues something waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// What keeps leaders leading and writes moving. Taken first.
    Consensus,
    /// What clients ask for.
    Requests,
}

/// Most of either lane in one turn: its effects leave only at its end.
const TURN_CONSENSUS: usize = 1_024;
const TURN_REQUESTS: usize = 256;

/// Mail that waits, in order within each lane.
#[derive(Debug)]
pub struct Inbox<T> {
    consensus: VecDeque<T>,
    requests: VecDeque<T>,
}

impl<T> Default for Inbox<T> {
    fn default() -> Self {
        Self { consensus: VecDeque::new(), requests: VecDeque::new() }
    }
}

impl<T> Inbox<T> {
    /// Adds one piece of mail.
    pub fn push(&mut self, lane: Lane, mail: T) {
        match lane {
            Lane::Consensus => self.consensus.push_back(mail),
            Lane::Requests => self.requests.push_back(mail),
        }
    }

    /// Moves the mail of one turn to the end of `turn`. Each lane gets its share of
    /// every turn, so that neither starves the other.
    pub fn take_turn(&mut self, turn: &mut Vec<T>) {
        let first = self.consensus.len().min(TURN_CONSENSUS);
        turn.extend(self.consensus.drain(..first));
        let then = self.requests.len().min(TURN_REQUESTS);
        turn.extend(self.requests.drain(..then));
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.consensus.is_empty() && self.requests.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(inbox: &mut Inbox<usize>) -> Vec<usize> {
        let mut turn = Vec::new();
        inbox.take_turn(&mut turn);
        turn
    }

    #[test]
    fn consensus_goes_before_requests_that_came_earlier() {
        let mut inbox = Inbox::default();
        inbox.push(Lane::Requests, 1);
        inbox.push(Lane::Consensus, 2);
        inbox.push(Lane::Requests, 3);
        inbox.push(Lane::Consensus, 4);
        assert_eq!(turn(&mut inbox), [2, 4, 1, 3]);
        assert!(inbox.is_empty());
    }

    #[test]
    fn a_flood_of_requests_delays_no_heartbeat_by_more_than_a_turn() {
        let mut inbox = Inbox::default();
        (0..10_000).for_each(|request| inbox.push(Lane::Requests, request));
        assert_eq!(turn(&mut inbox).len(), TURN_REQUESTS);
        inbox.push(Lane::Consensus, 77_777);
        assert_eq!(turn(&mut inbox)[0], 77_777);
    }

    #[test]
    fn a_flood_of_messages_starves_no_request() {
        let mut inbox = Inbox::default();
        (0..10_000).for_each(|message| inbox.push(Lane::Consensus, message));
        inbox.push(Lane::Requests, 77_777);
        assert!(turn(&mut inbox).contains(&77_777));
    }
}
