//! The manifest of a node: what is where, in one small append-only file.
//!
//! One edit is atomic. It publishes together the tables of a tree, the last
//! command applied in them and the partition's state block, so that a start-up
//! finds them agreeing. Byte layout: docs/formats.md.

mod change;
mod files;
mod frame;
mod state;
mod writer;

pub use change::{Change, Identity, MapChange};
pub(crate) use files::current;
pub use files::{Loaded, load};
pub use state::{ManifestState, MapEntries, ReplicaRecord};
pub use writer::{Manifest, ManifestOptions};
