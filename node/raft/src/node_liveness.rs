//! Which processes on other nodes are live. Quiesced replicas rest on this instead of heartbeats of
//! their own.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::quiesce::LivenessEpoch;
use crate::time::Time;

/// When each other node last said that it is live, and by which process. `N` is a node's id, or
/// that of one of its hosts.
#[derive(Clone, Debug)]
pub struct NodeLiveness<N> {
    known: BTreeMap<N, KnownNode>,
    silence: Duration,
}

#[derive(Clone, Copy, Debug)]
struct KnownNode {
    liveness: LivenessEpoch,
    heard: Time,
    /// Pauses of the own process for which `heard` was put off since.
    compensated: Duration,
    silent: bool,
}

impl<N: Copy + Ord> NodeLiveness<N> {
    /// No node is known yet. One not heard for `silence` counts as dead.
    #[must_use]
    pub fn new(silence: Duration) -> NodeLiveness<N> {
        NodeLiveness { known: BTreeMap::new(), silence }
    }

    /// `node` sent a node heartbeat. Returns whether its liveness epoch is another than before.
    pub fn heard(&mut self, now: Time, node: N, liveness: LivenessEpoch) -> bool {
        let heard = KnownNode { liveness, heard: now, compensated: Duration::ZERO, silent: false };
        self.known.insert(node, heard).is_some_and(|before| before.liveness != liveness)
    }

    /// The nodes whose liveness has expired since the last call.
    pub fn newly_expired(&mut self, now: Time) -> Vec<N> {
        let silence = self.silence;
        let late = |known: &KnownNode| !known.silent && now.since(known.heard) > silence;
        let fallen =
            self.known.iter_mut().filter(|(_, known)| late(known)).map(|(&node, known)| {
                known.silent = true;
                node
            });
        fallen.collect()
    }

    /// This process did not run during `pause`, which ended at `now`: silence during that time says
    /// nothing about the others. Once the pauses since a node was heard, each counted up
    /// to what is silence, reach that, no more of them count for it: a process whose ticks are
    /// always late must notice deaths too.
    pub fn compensate_pause(&mut self, now: Time, pause: Duration) {
        let most = self.silence;
        for known in self.known.values_mut().filter(|known| known.compensated < most) {
            known.compensated = most.min(known.compensated + pause.min(most));
            known.heard = known.heard.after(pause).min(now);
        }
    }

    /// Whether it has been heard, and not too long ago.
    #[must_use]
    pub fn is_live(&self, node: N) -> bool {
        self.known.get(&node).is_some_and(|known| !known.silent)
    }

    /// Whether it is live with exactly this liveness.
    #[must_use]
    pub fn is_live_with(&self, node: N, liveness: LivenessEpoch) -> bool {
        self.known.get(&node).is_some_and(|known| !known.silent && known.liveness == liveness)
    }

    /// Whether any node that `of` selects was last heard from a process other than `incarnation`.
    pub fn any_other_incarnation(&self, of: impl Fn(N) -> bool, incarnation: u64) -> bool {
        let others = self.known.iter().filter(|(node, _)| of(**node));
        others.into_iter().any(|(_, known)| known.liveness.incarnation != incarnation)
    }

    /// When it was last heard.
    #[must_use]
    pub fn last_heard(&self, node: N) -> Option<Time> {
        self.known.get(&node).map(|known| known.heard)
    }

    /// Forgets the nodes that `keep` does not select.
    pub fn retain(&mut self, keep: impl Fn(N) -> bool) {
        self.known.retain(|&node, _| keep(node));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENCE: Duration = Duration::from_micros(300);
    const ONE: LivenessEpoch = LivenessEpoch { incarnation: 1, epoch: 0 };

    #[test]
    fn silence_is_told_once_and_ends_with_a_word() {
        let mut liveness = NodeLiveness::new(SILENCE);
        liveness.heard(Time(1_000), 'a', ONE);
        assert!(liveness.newly_expired(Time(1_300)).is_empty());
        assert_eq!(liveness.newly_expired(Time(1_301)), ['a']);
        assert!(!liveness.is_live('a'));
        assert!(liveness.newly_expired(Time(1_400)).is_empty());
        liveness.heard(Time(1_500), 'a', ONE);
        assert!(liveness.is_live('a'));
    }

    #[test]
    fn another_process_or_epoch_is_another_liveness() {
        let mut liveness = NodeLiveness::new(SILENCE);
        assert!(!liveness.heard(Time(1_000), 'a', ONE), "nobody spoke before");
        assert!(!liveness.heard(Time(1_001), 'a', ONE));
        assert!(liveness.heard(Time(1_002), 'a', LivenessEpoch { epoch: 1, ..ONE }));
        assert!(!liveness.is_live_with('a', ONE));
        assert!(liveness.heard(Time(1_003), 'a', LivenessEpoch { incarnation: 2, ..ONE }));
    }

    #[test]
    fn silence_while_the_own_process_stood_still_does_not_count() {
        let mut liveness = NodeLiveness::new(SILENCE);
        liveness.heard(Time(1_000), 'a', ONE);
        liveness.compensate_pause(Time(9_000), Duration::from_micros(7_900));
        assert!(liveness.newly_expired(Time(9_000)).is_empty());
        assert_eq!(liveness.newly_expired(Time(9_201)), ['a']);
    }

    #[test]
    fn pauses_one_after_the_other_do_not_hide_a_death() {
        let mut liveness = NodeLiveness::new(SILENCE);
        liveness.heard(Time(1_000), 'a', ONE);
        let pause = Duration::from_micros(100);
        for pauses in 1..=6 {
            let now = Time(1_000).after(pauses * pause);
            liveness.compensate_pause(now, pause);
            assert!(liveness.newly_expired(now).is_empty());
        }
        liveness.compensate_pause(Time(1_700), pause);
        assert_eq!(liveness.newly_expired(Time(1_700)), ['a']);
    }

    #[test]
    fn nobody_unheard_lives() {
        assert!(!NodeLiveness::new(SILENCE).is_live('a'));
    }
}
