//! The thread that reads the file: a pipe may block for as long as it likes.

use super::records::{BadRecord, Layout, Record};
use anyhow::Context;
use std::io::{BufRead, BufReader};
use std::path::Path;
use tokio::sync::mpsc;

/// Records read ahead; each is at most a few MiB, most are small.
const AHEAD: usize = 1_024;

/// Records as they are read.
pub type Receiver = mpsc::Receiver<Result<Record, BadRecord>>;

/// Starts reading; also gives the file's size where it has one.
///
/// # Errors
/// A file that cannot be opened.
pub fn start(path: &Path, layout: Layout) -> anyhow::Result<(Receiver, Option<u64>)> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    if path == Path::new("-") {
        std::thread::spawn(move || read(std::io::stdin().lock(), &layout, &sender));
        return Ok((receiver, None));
    }
    let cannot = || format!("cannot read {}", path.display());
    let file = std::fs::File::open(path).with_context(cannot)?;
    let metadata = file.metadata().with_context(cannot)?;
    anyhow::ensure!(!metadata.is_dir(), "{} is a folder: give a file", path.display());
    let size = metadata.is_file().then_some(metadata.len());
    std::thread::spawn(move || read(BufReader::new(file), &layout, &sender));
    Ok((receiver, size))
}

fn read(file: impl BufRead, layout: &Layout, sender: &mpsc::Sender<Result<Record, BadRecord>>) {
    for record in layout.records(file) {
        let fatal = record.as_ref().is_err_and(|bad| bad.fatal);
        if sender.blocking_send(record).is_err() || fatal {
            return;
        }
    }
}
