//! Fuzz targets for everything DougDB decodes: files, messages, documents.
//!
//! A target takes any bytes and panics if the product does, or if it breaks a
//! promise about what it decoded. The engine (`engine/`) looks for such
//! bytes; `cargo test` replays the corpus without it. docs/fuzzing.md says how.
//!
//! Most formats carry checksums, which would stop nearly every input at the
//! door. So their targets try the bytes twice: as they are, and with every
//! checksum made right ([`reseal`]), as if a buggy program had written them.
#![deny(missing_docs)]

pub mod files;
pub mod reseal;
pub mod seeds;
mod targets;

pub use targets::{TARGETS, Target, target};
