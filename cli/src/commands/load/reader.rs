//! The thread that reads the file: a pipe may block for as long as it likes.

use super::records::{BadRecord, Layout, Record};
use anyhow::Context;
use std::io::{BufRead, BufReader};
use std::path::Path;
use tokio::sync::mpsc;

/// Chunks of records read ahead.
const AHEAD: usize = 8;
/// A chunk is full with so many records, or so many bytes.
const CHUNK_RECORDS: usize = 256;
const CHUNK_BYTES: usize = 1 << 20;

/// A record, or what is none.
pub type Read = Result<Record, BadRecord>;

/// Records as they are read. Those that wait are bounded in bytes.
pub struct Receiver {
    chunks: mpsc::Receiver<Vec<Read>>,
    begun: std::vec::IntoIter<Read>,
}

impl Receiver {
    fn new(chunks: mpsc::Receiver<Vec<Read>>) -> Self {
        Self { chunks, begun: Vec::new().into_iter() }
    }

    /// Those given.
    #[cfg(test)]
    pub fn of(records: Vec<Read>) -> Self {
        let (sender, chunks) = mpsc::channel(1);
        sender.try_send(records).expect("there is room");
        Self::new(chunks)
    }

    /// The next; none at the end. Nothing is lost if nobody waits for the answer.
    pub async fn recv(&mut self) -> Option<Read> {
        loop {
            if let Some(next) = self.begun.next() {
                return Some(next);
            }
            self.begun = self.chunks.recv().await?.into_iter();
        }
    }
}

/// Starts reading; also gives the file's size where it has one.
///
/// # Errors
/// A file that cannot be opened.
pub fn start(path: &Path, layout: Layout) -> anyhow::Result<(Receiver, Option<u64>)> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let receiver = Receiver::new(receiver);
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

fn read(file: impl BufRead, layout: &Layout, sender: &mpsc::Sender<Vec<Read>>) {
    let (mut chunk, mut bytes) = (Vec::new(), 0);
    for record in layout.records(file) {
        let fatal = record.as_ref().is_err_and(|bad| bad.fatal);
        bytes += record.as_ref().map_or(0, Record::bytes);
        chunk.push(record);
        if fatal || bytes >= CHUNK_BYTES || chunk.len() >= CHUNK_RECORDS {
            bytes = 0;
            if sender.blocking_send(std::mem::take(&mut chunk)).is_err() || fatal {
                return;
            }
        }
    }
    // Nobody is left to be told if this fails.
    let _ = sender.blocking_send(chunk);
}
