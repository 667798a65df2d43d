//! Which leaderships to hand over, so that leaders stay spread over the nodes.

use doug_raft::{Index, PeerStatus, ReplicaId, Time};

/// A leader hands over to the preferred voter only after leading this long, in
/// microseconds: a node that comes and goes must not drag leaderships along.
pub(super) const SETTLE: u64 = 5_000_000;

/// What decides over one leadership.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leadership<'a> {
    /// Since when this replica has led.
    pub since: Time,
    /// Its last index.
    pub last_index: Index,
    /// The voter that should lead: the first of the descriptor.
    pub preferred: ReplicaId,
    /// The peers as the leader sees them.
    pub peers: &'a [PeerStatus],
}

/// The voter to hand over to, if it is time.
pub(super) fn hand_over_to_preferred(
    own: ReplicaId,
    now: Time,
    l: Leadership,
) -> Option<ReplicaId> {
    if own == l.preferred || now.since(l.since) < SETTLE {
        return None;
    }
    let peer = l.peers.iter().find(|peer| peer.id == l.preferred)?;
    // A target that lags would leave the partition without a leader until it
    // has caught up.
    let close = l.last_index - peer.matched.min(l.last_index) <= 64;
    (peer.recently_active && !peer.learner && close).then_some(peer.id)
}

/// The voter that a leader about to stop hands over to: the most caught-up one.
pub(super) fn best_successor(peers: &[PeerStatus]) -> Option<ReplicaId> {
    let candidates = peers.iter().filter(|peer| peer.recently_active && !peer.learner);
    candidates.max_by_key(|peer| (peer.matched, std::cmp::Reverse(peer.id))).map(|peer| peer.id)
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
            silence: 0,
            learner: false,
        }
    }

    fn decide(now: u64, peers: &[PeerStatus]) -> Option<ReplicaId> {
        let leadership =
            Leadership { since: Time(0), last_index: 1_000, preferred: ReplicaId(1), peers };
        hand_over_to_preferred(ReplicaId(2), Time(now), leadership)
    }

    #[test]
    fn the_preferred_voter_gets_the_leadership_back_once_it_has_caught_up() {
        assert_eq!(decide(SETTLE, &[peer(1, 999, true)]), Some(ReplicaId(1)));
        assert_eq!(decide(SETTLE, &[peer(1, 10, true)]), None);
        assert_eq!(decide(SETTLE, &[peer(1, 999, false)]), None);
        assert_eq!(decide(SETTLE - 1, &[peer(1, 999, true)]), None);
    }

    #[test]
    fn a_stopping_leader_hands_over_to_the_most_caught_up_active_voter() {
        let peers = [peer(1, 5, true), peer(3, 9, false), peer(4, 8, true), peer(5, 8, true)];
        assert_eq!(best_successor(&peers), Some(ReplicaId(4)));
        assert_eq!(best_successor(&[peer(3, 9, false)]), None);
    }
}
