//! At most one demo on a folder.

use super::layout::Layout;
use anyhow::{Context, bail};
use rustix::fs::FlockOperation;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::time::Duration;

/// Held while the demo runs; the kernel lets go of it however the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Takes the lock, or says who holds it.
///
/// # Errors
/// A demo that runs on the folder, by its pid, with what to do.
pub async fn take(layout: &Layout) -> anyhow::Result<Lock> {
    let path = layout.lock();
    let mut file = open(layout).with_context(|| format!("opening {}", path.display()))?;
    // Whoever only asks whether a demo runs holds it for an instant.
    for _ in 0..10 {
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            file.set_len(0)?;
            write!(file, "{}", std::process::id())?;
            return Ok(Lock { _file: file });
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut pid = String::new();
    file.read_to_string(&mut pid)?;
    let folder = layout.root().display();
    bail!(
        "a demo is already running on {folder} (pid {pid}): see it with `doug demo status \
         --data {folder}`, stop it with Ctrl-C or `kill {pid}`, or give another --data"
    )
}

/// Whether a demo runs on the folder.
pub fn is_held(layout: &Layout) -> bool {
    let Ok(file) = File::open(layout.lock()) else { return false };
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared).is_err()
}

fn open(layout: &Layout) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(layout.lock())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_demo_is_told_who_runs_and_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path()).unwrap();
        assert!(!is_held(&layout));
        let first = take(&layout).await.unwrap();
        assert!(is_held(&layout));
        let error = take(&layout).await.unwrap_err().to_string();
        assert!(error.contains(&format!("kill {}", std::process::id())), "{error}");
        drop(first);
        take(&layout).await.unwrap();
    }
}
