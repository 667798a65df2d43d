//! Links between places: delay, loss, duplication, reordering, cuts.

use crate::random::Random;
use crate::time::{SimTime, micros};
use std::collections::BTreeSet;
use std::time::Duration;

/// What all links are like.
#[derive(Clone, Debug)]
pub struct NetworkSettings {
    /// Shortest delay.
    pub delay_min: Duration,
    /// Longest delay, unless a link is slow.
    pub delay_max: Duration,
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

/// One way from one place to another.
#[derive(Clone, Copy, Debug, Default)]
struct Link {
    /// While there are any, nothing passes; counted, for cuts overlap.
    cuts: u32,
    /// So much longer, at most.
    slow: Duration,
    /// When the last message arrives.
    arrived: SimTime,
    /// When its stream last broke.
    reset: Option<SimTime>,
}

/// All links. Each is one-way.
#[derive(Debug)]
pub struct Network {
    settings: NetworkSettings,
    random: Random,
    places: usize,
    /// From each place to each.
    links: Vec<Link>,
    /// Messages lost and duplicated so far.
    pub lost: u64,
    /// Messages duplicated so far.
    pub duplicated: u64,
}

impl Network {
    /// Links between so many places, which are all up.
    pub fn new(settings: NetworkSettings, places: usize, random: Random) -> Self {
        let links = vec![Link::default(); places * places];
        Self { settings, random, places, links, lost: 0, duplicated: 0 }
    }

    fn link(&self, (from, to): (Place, Place)) -> &Link {
        &self.links[from * self.places + to]
    }

    fn link_mut(&mut self, (from, to): (Place, Place)) -> &mut Link {
        &mut self.links[from * self.places + to]
    }

    /// When copies of a message sent now arrive: none, one or two times.
    pub fn send(&mut self, now: SimTime, from: Place, to: Place) -> [Option<SimTime>; 2] {
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

    fn arrival(&mut self, now: SimTime, from: Place, to: Place) -> SimTime {
        let link = &mut self.links[from * self.places + to];
        let at = now
            + self.random.duration_between(self.settings.delay_min, self.settings.delay_max)
            + self.random.duration_below(link.slow + micros(1));
        if self.settings.reorder {
            return at;
        }
        link.arrived = at.max(link.arrived + micros(1));
        link.arrived
    }

    /// Breaks the stream from one place to another.
    pub fn reset(&mut self, now: SimTime, link: (Place, Place)) {
        self.link_mut(link).reset = Some(now);
    }

    /// Whether a message sent then was lost with its stream.
    pub fn was_reset(&self, from: Place, to: Place, sent: SimTime) -> bool {
        self.link((from, to)).reset.is_some_and(|at| at >= sent)
    }

    /// Whether nothing passes.
    pub fn is_cut(&self, from: Place, to: Place) -> bool {
        self.link((from, to)).cuts > 0
    }

    /// Cuts links.
    pub fn cut(&mut self, links: &BTreeSet<(Place, Place)>) {
        for link in links {
            self.link_mut(*link).cuts += 1;
        }
    }

    /// Takes a cut back.
    pub fn mend(&mut self, links: &BTreeSet<(Place, Place)>) {
        for link in links {
            let link = self.link_mut(*link);
            link.cuts = link.cuts.saturating_sub(1);
        }
    }

    /// Lets messages of a link take up to so much longer; zero ends that.
    pub fn slow_down(&mut self, link: (Place, Place), longer: Duration) {
        self.link_mut(link).slow = longer;
    }

    /// Ends every trouble for good.
    pub fn heal(&mut self) {
        for link in &mut self.links {
            (link.cuts, link.slow) = (0, Duration::ZERO);
        }
        self.settings.loss = 0;
        self.settings.duplication = 0;
    }
}
