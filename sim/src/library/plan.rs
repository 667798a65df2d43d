//! Which clients run the library, drawn from the seed.

use super::MapFrom;
use crate::random::Random;
use crate::time::{millis, seconds};

/// Which clients run the library, and the facades there are.
#[derive(Clone, Debug, Default)]
pub struct LibraryPlan {
    /// Clients that go straight to the nodes.
    pub direct: usize,
    /// Clients that go through the facades.
    pub through_facades: usize,
    /// Where each facade has its map from.
    pub facades: Vec<MapFrom>,
}

impl LibraryPlan {
    /// How many clients run the library.
    pub fn clients(&self) -> usize {
        self.direct + self.through_facades
    }

    /// How many processes do.
    pub fn programs(&self) -> usize {
        self.clients() + self.facades.len()
    }

    /// Takes some of `clients` over, and maybe puts facades in between.
    pub fn draw(clients: usize, random: &mut Random) -> Self {
        let mut plan = Self::default();
        for _ in 0..clients {
            match random.below(4) {
                0 => plan.direct += 1,
                1 => plan.through_facades += 1,
                _ => {}
            }
        }
        if plan.through_facades > 0 {
            let facade = |_| {
                if random.chance(500) {
                    MapFrom::Nodes
                } else {
                    MapFrom::Status(random.duration_between(millis(100), seconds(3)))
                }
            };
            plan.facades = (0..=plan.through_facades.min(2) / 2).map(facade).collect();
        }
        plan
    }
}
