//! Every input kept in `corpus/`, replayed without the engine.

use doug_fuzz::{TARGETS, Target, reseal, seeds, target};
use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

/// Most inputs kept for one target.
const INPUTS: usize = 100;
/// Most bytes of all inputs together.
const BYTES: u64 = 2 << 20;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn inputs(target: &Target) -> Vec<PathBuf> {
    let folder = corpus().join(target.name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a file").path()).collect();
    paths.sort();
    paths
}

#[test]
fn no_kept_input_breaks_its_target() {
    let mut broken = Vec::new();
    for target in TARGETS {
        for path in inputs(target) {
            let bytes = fs::read(&path).expect("a file of the corpus");
            if catch_unwind(|| (target.run)(&bytes)).is_err() {
                broken.push(path);
            }
        }
    }
    assert!(broken.is_empty(), "these inputs break their target: {broken:#?}");
}

#[test]
fn every_target_has_its_seeds_and_every_folder_its_target() {
    let seeds = seeds::all();
    for target in TARGETS {
        let own = seeds.iter().filter(|seed| seed.target == target.name);
        assert!(own.count() > 0, "{} has no seed", target.name);
    }
    for folder in fs::read_dir(corpus()).expect("the corpus") {
        let name = folder.expect("a folder").file_name().into_string().expect("a name");
        assert!(target(&name).is_some(), "corpus/{name} belongs to no target");
    }
}

#[test]
fn the_seeds_kept_are_those_the_product_writes_today() {
    let kept: BTreeSet<(String, Vec<u8>)> = TARGETS
        .iter()
        .flat_map(|target| inputs(target).into_iter().map(move |path| (target.name, path)))
        .map(|(target, path)| (target.to_owned(), fs::read(path).expect("a file of the corpus")))
        .collect();
    for seed in seeds::all() {
        let found = kept.contains(&(seed.target.to_owned(), seed.bytes));
        let (target, name) = (seed.target, seed.name);
        assert!(
            found,
            "{target}/{name} has changed: cargo run -p doug-fuzz --bin seeds, and commit it"
        );
    }
}

#[test]
fn the_corpus_stays_small() {
    let mut bytes = 0;
    for target in TARGETS {
        let inputs = inputs(target);
        assert!(inputs.len() <= INPUTS, "{} has {} inputs", target.name, inputs.len());
        bytes += inputs.iter().map(|p| fs::metadata(p).expect("a file").len()).sum::<u64>();
    }
    assert!(bytes <= BYTES, "the corpus has {bytes} bytes");
}

/// Else the targets would try files that no program writes.
#[test]
fn resealing_what_is_sound_changes_nothing() {
    for seed in seeds::all() {
        let reseal = match seed.target {
            "table" => reseal::table,
            "manifest" if seed.bytes.starts_with(b"DOUGMAN") => reseal::manifest,
            "batch" => reseal::batch,
            _ => continue,
        };
        let mut resealed = seed.bytes.clone();
        reseal(&mut resealed);
        assert!(resealed == seed.bytes, "{}/{}", seed.target, seed.name);
    }
}
