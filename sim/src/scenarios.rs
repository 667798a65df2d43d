//! Runs that a person wrote down, beside those that seeds draw.

use crate::checks::{Judged, Violation};
use crate::mutants::Mutant;
use crate::plan::Plan;
use crate::time::{SimTime, seconds};
use crate::trace::Tracing;
use crate::world::World;
use doug_sim_disk::Crash;

/// Two clusters of five; again and again all ten nodes lose power at once, in the
/// middle of writes, and everything they had not synced.
pub fn all_nodes_lose_power(seed: u64, mutant: Mutant) -> World {
    let mut plan =
        Plan { clusters: 2, partitions: 4, duration: seconds(8), mutant, ..Plan::calm(seed) };
    // Somebody writes at every moment at which power might be lost.
    plan.workload.acknowledged = 4_000;
    World::new(plan, Tracing::Off)
}

/// The course of [`all_nodes_lose_power`].
///
/// # Errors
/// A promise that was broken.
pub fn lose_power_thrice(world: &mut World) -> Result<Judged, Violation> {
    for blow in 1..=3 {
        world.run_until(SimTime::ZERO + blow * seconds(2))?;
        world.lose_power_everywhere(Crash::LoseUnsynced);
    }
    world.run_until(SimTime::ZERO + seconds(8))?;
    world.recover()
}
