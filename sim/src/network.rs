//! Links between places: delay, loss, duplication, reordering, cuts.

use crate::random::Random;
use std::collections::{BTreeMap, BTreeSet};

/// What all links are like. Times in microseconds.
#[derive(Clone, Debug)]
pub struct NetworkSettings {
    /// Shortest delay.
    pub delay_min: u64,
    /// Longest delay, unless a link is slow.
    pub delay_max: u64,
    /// Messages lost, of a thousand.
    pub loss: u64,
    /// Messages delivered twice, of a thousand.
    pub duplication: u64,
    /// Whether messages of a link may overtake each other.
    pub reorder: bool,
}

/// A node's index, or the count of nodes plus a client's; behind those, programs that run the
/// client library.
pub type Place = usize;

/// All links. Each is one-way.
#[derive(Debug)]
pub struct Network {
    settings: NetworkSettings,
    random: Random,
    /// Nothing passes; counted, for cuts overlap.
    cuts: BTreeMap<(Place, Place), u32>,
    slow: BTreeMap<(Place, Place), u64>,
    arrived: BTreeMap<(Place, Place), u64>,
    /// When streams last broke.
    resets: BTreeMap<(Place, Place), u64>,
    /// Messages lost and duplicated so far.
    pub lost: u64,
    /// Messages duplicated so far.
    pub duplicated: u64,
}

impl Network {
    /// Links that are all up.
    pub fn new(settings: NetworkSettings, random: Random) -> Self {
        Self {
            settings,
            random,
            cuts: BTreeMap::new(),
            slow: BTreeMap::new(),
            arrived: BTreeMap::new(),
            resets: BTreeMap::new(),
            lost: 0,
            duplicated: 0,
        }
    }

    /// When copies of a message sent now arrive: none, one or two times.
    pub fn send(&mut self, now: u64, from: Place, to: Place) -> [Option<u64>; 2] {
        if self.is_cut(from, to) || self.random.chance(self.settings.loss) {
            self.lost += 1;
            return [None, None];
        }
        let first = self.arrival(now, from, to);
        if self.random.chance(self.settings.duplication) {
            self.duplicated += 1;
            return [Some(first), Some(self.arrival(now, from, to))];
        }
        [Some(first), None]
    }

    fn arrival(&mut self, now: u64, from: Place, to: Place) -> u64 {
        let link = (from, to);
        let slow = self.slow.get(&link).copied().unwrap_or(0);
        let at = now
            + self.random.between(self.settings.delay_min, self.settings.delay_max)
            + self.random.below(slow + 1);
        if self.settings.reorder {
            return at;
        }
        let last = self.arrived.entry(link).or_default();
        *last = at.max(*last + 1);
        *last
    }

    /// Breaks the stream from one place to another.
    pub fn reset(&mut self, now: u64, link: (Place, Place)) {
        self.resets.insert(link, now);
    }

    /// Whether a message sent then was lost with its stream.
    pub fn was_reset(&self, from: Place, to: Place, sent: u64) -> bool {
        self.resets.get(&(from, to)).is_some_and(|at| *at >= sent)
    }

    /// Whether nothing passes.
    pub fn is_cut(&self, from: Place, to: Place) -> bool {
        self.cuts.get(&(from, to)).is_some_and(|count| *count > 0)
    }

    /// Cuts links.
    pub fn cut(&mut self, links: &BTreeSet<(Place, Place)>) {
        for link in links {
            *self.cuts.entry(*link).or_default() += 1;
        }
    }

    /// Takes a cut back.
    pub fn mend(&mut self, links: &BTreeSet<(Place, Place)>) {
        for link in links {
            if let Some(count) = self.cuts.get_mut(link) {
                *count = count.saturating_sub(1);
            }
        }
    }

    /// Lets messages of a link take up to so many microseconds longer; 0 ends that.
    pub fn slow_down(&mut self, link: (Place, Place), longer: u64) {
        self.slow.insert(link, longer);
    }

    /// Ends every trouble for good.
    pub fn heal(&mut self) {
        self.cuts.clear();
        self.slow.clear();
        self.settings.loss = 0;
        self.settings.duplication = 0;
    }
}
