//! DougDB's deterministic simulator: faults, checkers.
#![deny(missing_docs)]

pub mod disk;
