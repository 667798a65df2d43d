//! "Segments and tables all reachable or gone": once all is calm, the manifest, the log or a kept
//! snapshot answers for every file of a data directory, and each that they name is there.

use super::Violation;
use doug_storage::store::StoreFiles;
use std::collections::BTreeSet;
use std::path::PathBuf;

const NAME: &str = "segments and tables reachable or gone";

/// Compares what a node's disk holds with what its process knows of.
pub fn compare(
    node: &str,
    known: &StoreFiles,
    spare: &[PathBuf],
    present: &BTreeSet<PathBuf>,
) -> Result<(), Violation> {
    let wrong = |what: String| Err(Violation::new(NAME, format!("{node}: {what}")));
    let mut needed = known.needed.iter().chain(spare);
    if let Some(missing) = needed.find(|file| !present.contains(*file)) {
        return wrong(format!("{} is needed and missing", missing.display()));
    }
    let mut unknown = present.iter().filter(|file| !known.account_for(file));
    match unknown.find(|file| !spare.contains(file)) {
        Some(file) => wrong(format!("nobody knows of {}", file.display())),
        None => Ok(()),
    }
}
