//! Which leaderships to hand over, so that leaders stay spread over the nodes.

use doug_raft::{Index, PeerStatus, ReplicaId, Time};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

/// A leader hands over to the preferred voter only after leading this long: a node that comes and
/// goes must not drag leaderships along.
pub(super) const SETTLE: Duration = Duration::from_secs(5);

/// The longest time for which a voter to which hand-overs failed is not tried again.
const MOST_BACK_OFF: Duration = Duration::from_secs(320);

/// Hand-overs begun by this replica that had no lasting success, by target.
///
/// Each costs its partition up to an election timeout without a leader, or more if the target can
/// depose the leader and not lead: one with a single bad link. So each failure doubles the time
/// until the same target is tried again; that it has led for [`SETTLE`] clears its record. The
/// record is kept across terms, for a failure ends the leadership of whoever began it.
#[derive(Debug, Default)]
pub(super) struct HandOvers(BTreeMap<ReplicaId, Failures>);

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    not_before: Time,
}

impl HandOvers {
    /// A hand-over to `to` begins. It counts as failed until the target has led for long.
    pub(super) fn begun(&mut self, now: Time, to: ReplicaId) {
        let count = self.failures(to) + 1;
        let pause = SETTLE.saturating_mul(1 << count.min(16)).min(MOST_BACK_OFF);
        self.0.insert(to, Failures { count, not_before: now.after(pause) });
    }

    /// `leader` has led for so long, and does no more.
    pub(super) fn led(&mut self, leader: ReplicaId, duration: Duration) {
        if duration >= SETTLE {
            self.0.remove(&leader);
        }
    }

    /// Forgets those that `keep` does not select.
    pub(super) fn retain(&mut self, keep: impl Fn(ReplicaId) -> bool) {
        self.0.retain(|id, _| keep(*id));
    }

    fn failures(&self, to: ReplicaId) -> u32 {
        self.0.get(&to).map_or(0, |failures| failures.count)
    }

    fn is_backing_off(&self, now: Time, to: ReplicaId) -> bool {
        self.0.get(&to).is_some_and(|failures| now < failures.not_before)
    }
}

/// A partition led here: what decides whether another voter is to lead it.
#[derive(Clone, Copy, Debug)]
pub(super) struct LedPartition<'a> {
    /// Since when this replica has led.
    pub since: Time,
    /// Its last index.
    pub last_index: Index,
    /// The voter that should lead: the first of the descriptor.
    pub preferred: ReplicaId,
    /// The peers as the leader sees them.
    pub peers: &'a [PeerStatus],
    /// Hand-overs that failed.
    pub hand_overs: &'a HandOvers,
}

/// The voter to hand over to, if it is time.
pub(super) fn hand_over_to_preferred(
    own: ReplicaId,
    now: Time,
    led: LedPartition,
) -> Option<ReplicaId> {
    let too_early =
        now.since(led.since) < SETTLE || led.hand_overs.is_backing_off(now, led.preferred);
    if own == led.preferred || too_early {
        return None;
    }
    let peer = led.peers.iter().find(|peer| peer.id == led.preferred)?;
    // A target that lags would leave the partition without a leader until it
    // has caught up.
    let close = led.last_index - peer.matched.min(led.last_index) <= 64;
    (peer.recently_active && !peer.learner && close).then_some(peer.id)
}

/// The voter that a leader about to stop hands over to: of those to which the fewest hand-overs
/// have failed, the most caught-up one.
pub(super) fn best_successor(peers: &[PeerStatus], hand_overs: &HandOvers) -> Option<ReplicaId> {
    let candidates = peers.iter().filter(|peer| peer.recently_active && !peer.learner);
    let rank = |peer: &&PeerStatus| {
        (Reverse(hand_overs.failures(peer.id)), peer.matched, Reverse(peer.id))
    };
    candidates.max_by_key(rank).map(|peer| peer.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use doug_raft::ProgressState;

    fn peer(id: u64, matched: Index, recently_active: bool) -> PeerStatus {
        PeerStatus {
            id: ReplicaId(id),
            matched,
            next: matched + 1,
            state: ProgressState::Replicate,
            recently_active,
            recently_spoke: recently_active,
            silence: Duration::ZERO,
            learner: false,
        }
    }

    fn decide(now: Duration, peers: &[PeerStatus]) -> Option<ReplicaId> {
        decide_after(&HandOvers::default(), now, peers)
    }

    fn decide_after(
        hand_overs: &HandOvers,
        now: Duration,
        peers: &[PeerStatus],
    ) -> Option<ReplicaId> {
        let (since, preferred) = (Time(0), ReplicaId(1));
        let led = LedPartition { since, last_index: 1_000, preferred, peers, hand_overs };
        hand_over_to_preferred(ReplicaId(2), Time(0).after(now), led)
    }

    #[test]
    fn each_hand_over_that_fails_doubles_the_time_until_the_next() {
        let (peers, mut hand_overs) = ([peer(1, 999, true)], HandOvers::default());
        let (mut now, mut begun) = (SETTLE, Vec::new());
        while begun.len() < 9 {
            if decide_after(&hand_overs, now, &peers).is_some() {
                hand_overs.begun(Time(0).after(now), ReplicaId(1));
                begun.push(now.as_secs() / SETTLE.as_secs());
            }
            now += SETTLE;
        }
        assert_eq!(begun, [1, 3, 7, 15, 31, 63, 127, 191, 255]);
    }

    #[test]
    fn a_target_that_has_led_for_long_is_tried_as_if_nothing_had_failed() {
        let (peers, mut hand_overs) = ([peer(1, 999, true)], HandOvers::default());
        hand_overs.begun(Time(0).after(SETTLE), ReplicaId(1));
        hand_overs.led(ReplicaId(1), SETTLE - Duration::from_micros(1));
        assert_eq!(decide_after(&hand_overs, 2 * SETTLE, &peers), None);
        hand_overs.led(ReplicaId(1), SETTLE);
        assert_eq!(decide_after(&hand_overs, 2 * SETTLE, &peers), Some(ReplicaId(1)));
    }

    #[test]
    fn a_stopping_leader_tries_another_voter_after_a_hand_over_that_failed() {
        let (peers, mut hand_overs) = ([peer(1, 9, true), peer(3, 8, true)], HandOvers::default());
        hand_overs.begun(Time(0), ReplicaId(1));
        assert_eq!(best_successor(&peers, &hand_overs), Some(ReplicaId(3)));
        hand_overs.begun(Time(1), ReplicaId(3));
        assert_eq!(best_successor(&peers, &hand_overs), Some(ReplicaId(1)));
    }

    #[test]
    fn the_preferred_voter_gets_the_leadership_back_once_it_has_caught_up() {
        assert_eq!(decide(SETTLE, &[peer(1, 999, true)]), Some(ReplicaId(1)));
        assert_eq!(decide(SETTLE, &[peer(1, 10, true)]), None);
        assert_eq!(decide(SETTLE, &[peer(1, 999, false)]), None);
        assert_eq!(decide(SETTLE - Duration::from_micros(1), &[peer(1, 999, true)]), None);
    }

    #[test]
    fn a_stopping_leader_hands_over_to_the_most_caught_up_active_voter() {
        let peers = [peer(1, 5, true), peer(3, 9, false), peer(4, 8, true), peer(5, 8, true)];
        let none = HandOvers::default();
        assert_eq!(best_successor(&peers, &none), Some(ReplicaId(4)));
        assert_eq!(best_successor(&[peer(3, 9, false)], &none), None);
    }
}
