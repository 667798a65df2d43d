//! Batches that no majority has yet, of all replicas of a host.
//!
//! The log cannot free them: no flush helps, and they die only when a leader commits or
//! replaces them, which may be never while a majority is away. **Invariant:** they stay within
//! what the log can bear (`LogOptions::uncommitted_bytes`), or it would fill up with them and
//! stop for every partition of the node.
//!
//! Leaders keep to a sixth of that, so that followers, which hold what several leaders propose,
//! need not refuse it: two nodes that refused each other's appends would commit nothing, and so
//! never make room. Whatever piles up beyond that is the tails of former leaders. A follower
//! then takes no append that makes its log longer, until it hears of a commit.

/// The share of what the log can bear that is left to what this host's leaders propose.
const LEADERS: u64 = 6;

/// Counts them.
#[derive(Debug)]
pub(super) struct Uncommitted {
    most: u64,
    bytes: u64,
}

impl Uncommitted {
    /// None yet, of at most `most` bytes.
    pub(super) fn new(most: u64) -> Self {
        Self { most, bytes: 0 }
    }

    /// A replica that counted for `counted` bytes now counts for `bytes`.
    pub(super) fn recount(&mut self, counted: &mut u64, bytes: u64) {
        self.bytes = self.bytes - *counted + bytes;
        *counted = bytes;
    }

    /// What one replica may have proposed without a majority: one partition that has lost its
    /// majority leaves half to the others.
    pub(super) fn of_one_replica(most: u64) -> u64 {
        (most / LEADERS / 2).max(1)
    }

    /// Bytes that may be proposed now. Where nothing waits for a majority, at least one batch.
    pub(super) fn room_to_propose(&self) -> u64 {
        let room = (self.most / LEADERS).saturating_sub(self.bytes);
        if self.bytes == 0 { room.max(1) } else { room }
    }

    /// Whether an append is taken in; `longer`: it makes the replica's log longer.
    pub(super) fn takes_append(&self, longer: bool) -> bool {
        !longer || self.bytes < self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaders_stop_long_before_followers() {
        let (mut uncommitted, mut one, mut other) = (Uncommitted::new(600), 0, 0);
        assert_eq!(uncommitted.room_to_propose(), 100);
        uncommitted.recount(&mut one, 60);
        assert_eq!(uncommitted.room_to_propose(), 40);
        uncommitted.recount(&mut other, 40);
        assert_eq!(uncommitted.room_to_propose(), 0);
        assert!(uncommitted.takes_append(true));
        uncommitted.recount(&mut other, 540);
        assert!(!uncommitted.takes_append(true));
        assert!(uncommitted.takes_append(false), "what replaces a tail may make room");
        uncommitted.recount(&mut one, 0);
        assert!(uncommitted.takes_append(true));
    }

    #[test]
    fn a_batch_larger_than_the_share_is_proposed_while_nothing_waits() {
        let (mut uncommitted, mut one) = (Uncommitted::new(3), 0);
        assert_eq!(uncommitted.room_to_propose(), 1);
        uncommitted.recount(&mut one, 1_000);
        assert_eq!(uncommitted.room_to_propose(), 0);
    }
}
