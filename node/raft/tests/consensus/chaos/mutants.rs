//! Whether the chaos finds bugs: on known ones, put in one at a time. Run by
//! `cargo test --release -p doug-raft --features mutants`.

use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

use doug_raft::Mutant;

use super::one_seed;

/// Seeds tried before a bug counts as not found.
const PATIENCE: u64 = 20_000;

fn seeds_needed(mutant: Mutant) -> Option<u64> {
    let fails = |&seed: &u64| {
        let run = || one_seed(seed, |config| config.mutant = Some(mutant));
        catch_unwind(AssertUnwindSafe(run)).is_err()
    };
    (0..PATIENCE).find(fails).map(|seed| seed + 1)
}

#[test]
fn every_bug_put_in_is_found() {
    // The panics are what is looked for; a thousand of them would hide the table.
    let hook = take_hook();
    set_hook(Box::new(|_| {}));
    let needed: Vec<_> = Mutant::ALL.map(|mutant| (mutant, seeds_needed(mutant))).into();
    set_hook(hook);
    for (mutant, seeds) in &needed {
        println!(
            "{:<36} {}",
            format!("{mutant:?}"),
            seeds.map_or("not found".into(), |n| n.to_string())
        );
    }
    let missed: Vec<_> =
        needed.iter().filter(|(_, seeds)| seeds.is_none()).map(|(mutant, _)| mutant).collect();
    assert!(missed.is_empty(), "{PATIENCE} seeds do not find {missed:?}");
}
