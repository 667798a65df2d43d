//! Which processes on other nodes live: what sleep rests on instead of heartbeats of its own.

use std::collections::BTreeMap;

use crate::ids::Time;
use crate::sleep::Vouch;

/// What a node has heard from others like it. `N` names a node, or what of it speaks for itself.
#[derive(Clone, Debug)]
pub struct Neighbours<N> {
    known: BTreeMap<N, Neighbour>,
    silence: u64,
}

#[derive(Clone, Copy, Debug)]
struct Neighbour {
    vouch: Vouch,
    heard: Time,
    silent: bool,
}

impl<N: Copy + Ord> Neighbours<N> {
    /// Nobody is known yet. Who has said nothing for `silence` microseconds counts as silent.
    #[must_use]
    pub fn new(silence: u64) -> Neighbours<N> {
        Neighbours { known: BTreeMap::new(), silence }
    }

    /// `node` says that it lives. Whether it vouches by another process than before.
    pub fn heard(&mut self, now: Time, node: N, vouch: Vouch) -> bool {
        let heard = Neighbour { vouch, heard: now, silent: false };
        self.known.insert(node, heard).is_some_and(|before| before.vouch != vouch)
    }

    /// Those that have fallen silent since the last call.
    pub fn fallen_silent(&mut self, now: Time) -> Vec<N> {
        let silence = self.silence;
        let late = |known: &Neighbour| !known.silent && now.since(known.heard) > silence;
        let fallen =
            self.known.iter_mut().filter(|(_, known)| late(known)).map(|(&node, known)| {
                known.silent = true;
                node
            });
        fallen.collect()
    }

    /// The own process did not run for so many microseconds until `now`: silence during that time says nothing.
    pub fn excuse(&mut self, now: Time, microseconds: u64) {
        for known in self.known.values_mut() {
            known.heard = known.heard.after(microseconds).min(now);
        }
    }

    /// Whether it has been heard and is not silent.
    #[must_use]
    pub fn lives(&self, node: N) -> bool {
        self.known.get(&node).is_some_and(|known| !known.silent)
    }

    /// Whether it lives and vouches by just this.
    #[must_use]
    pub fn vouches(&self, node: N, vouch: Vouch) -> bool {
        self.known.get(&node).is_some_and(|known| !known.silent && known.vouch == vouch)
    }

    /// Whether any of those that `of` names was last heard from another process than this.
    pub fn any_other_incarnation(&self, of: impl Fn(N) -> bool, incarnation: u64) -> bool {
        let others = self.known.iter().filter(|(node, _)| of(**node));
        others.into_iter().any(|(_, known)| known.vouch.incarnation != incarnation)
    }

    /// When it was last heard.
    #[must_use]
    pub fn last_heard(&self, node: N) -> Option<Time> {
        self.known.get(&node).map(|known| known.heard)
    }

    /// Forgets those that `keep` does not want.
    pub fn retain(&mut self, keep: impl Fn(N) -> bool) {
        self.known.retain(|&node, _| keep(node));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Vouch = Vouch { incarnation: 1, epoch: 0 };

    #[test]
    fn silence_is_told_once_and_ends_with_a_word() {
        let mut neighbours = Neighbours::new(300);
        neighbours.heard(Time(1_000), 'a', ONE);
        assert!(neighbours.fallen_silent(Time(1_300)).is_empty());
        assert_eq!(neighbours.fallen_silent(Time(1_301)), ['a']);
        assert!(!neighbours.lives('a'));
        assert!(neighbours.fallen_silent(Time(1_400)).is_empty());
        neighbours.heard(Time(1_500), 'a', ONE);
        assert!(neighbours.lives('a'));
    }

    #[test]
    fn another_process_or_epoch_is_another_voucher() {
        let mut neighbours = Neighbours::new(300);
        assert!(!neighbours.heard(Time(1_000), 'a', ONE), "nobody spoke before");
        assert!(!neighbours.heard(Time(1_001), 'a', ONE));
        assert!(neighbours.heard(Time(1_002), 'a', Vouch { epoch: 1, ..ONE }));
        assert!(!neighbours.vouches('a', ONE));
        assert!(neighbours.heard(Time(1_003), 'a', Vouch { incarnation: 2, ..ONE }));
    }

    #[test]
    fn silence_while_the_own_process_stood_still_is_excused() {
        let mut neighbours = Neighbours::new(300);
        neighbours.heard(Time(1_000), 'a', ONE);
        neighbours.excuse(Time(9_000), 7_900);
        assert!(neighbours.fallen_silent(Time(9_000)).is_empty());
        assert_eq!(neighbours.fallen_silent(Time(9_201)), ['a']);
    }

    #[test]
    fn nobody_unheard_lives() {
        assert!(!Neighbours::new(300).lives('a'));
    }
}
