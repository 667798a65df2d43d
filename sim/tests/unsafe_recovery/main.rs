//! Quorums lost for good: three of five volumes are gone, partitions begin anew from what is left,
//! and the lost volumes come back all the same. The hosts are the ones that ship, and so is what
//! chooses the survivor; network, disks, clients and clocks are drawn from a seed.
#![allow(clippy::disallowed_macros, reason = "libtest captures these alone")]

mod checker;
mod disk;
mod told;
mod world;

use doug_node::host::RecoveryBug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use told::{Bug, Told};
use world::World;

/// One whole course; what was seen, or the promise that was broken.
fn course(seed: u64, bug: Option<Bug>) -> Result<Told, String> {
    let run = || {
        let mut world = World::new(seed, bug);
        world.live()?;
        world.lose_three()?;
        world.begin_anew()?;
        world.lost_return()?;
        world.heal()?;
        world.judge()
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

/// `DOUG_RECOVERY_SEEDS`, or as many as a build without optimisation has time for.
fn seeds() -> u64 {
    let given = std::env::var("DOUG_RECOVERY_SEEDS").ok();
    given.map_or(8, |text| text.parse().expect("a number of seeds"))
}

#[test]
fn only_what_the_survivor_lacked_is_lost_and_whoever_returns_is_refused() {
    let mut all = Told::default();
    for seed in 1..=seeds() {
        match course(seed, None) {
            Ok(told) => all.add(&told),
            Err(what) => panic!("seed {seed}: {what}"),
        }
        println!("{seed}: {all:?}");
    }
    // Otherwise the test would have shown nothing.
    assert!(all.acknowledged > 0 && all.untouched > 0, "{all:?}");
    assert!(all.lost > 0, "no acknowledged write was ever lost: {all:?}");
    assert!(all.survivors_differed > 0, "the choice never mattered: {all:?}");
    assert!(all.old_leaders > 0, "the lost never led themselves again: {all:?}");
    assert!(all.refused_tokens > 0, "{all:?}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    assert_eq!(course(7, None), course(7, None));
}

fn is_found(bug: Bug) {
    let failed = |seed: u64| course(seed, Some(bug)).err().map(|what| (seed, what));
    let (seed, what) = (1..=200).find_map(failed).unwrap_or_else(|| panic!("{bug:?} passed"));
    println!("{bug:?}: {seed} seeds, {what}");
}

#[test]
fn a_group_that_begins_with_a_worse_survivor_is_found() {
    is_found(Bug::WorstSurvivor);
}

#[test]
fn a_returning_replica_that_is_believed_is_found() {
    is_found(Bug::Host(RecoveryBug::LostGroupHeard));
}
