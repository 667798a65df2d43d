//! What a replica has served, for whoever wants to know who has much to do.

use doug_proto::v1::{self, stream_answer::Answer};
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of operations that were carried out, since the process began. They only grow.
#[derive(Debug, Default)]
pub struct ServedCounts {
    reads: AtomicU64,
    read_bytes: AtomicU64,
    writes: AtomicU64,
    written_bytes: AtomicU64,
}

impl ServedCounts {
    /// A read was answered so.
    pub fn note_read(&self, answer: &Answer) {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.read_bytes.fetch_add(payload(answer), Ordering::Relaxed);
    }

    /// A write was answered whose request had so many bytes.
    pub fn note_write(&self, bytes: u64) {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.written_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The counts as a status tells them. Those of an operation under way may be half in it.
    pub fn to_wire(&self) -> v1::OperationCounts {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        v1::OperationCounts {
            reads: of(&self.reads),
            read_bytes: of(&self.read_bytes),
            writes: of(&self.writes),
            written_bytes: of(&self.written_bytes),
        }
    }
}

/// Bytes of keys and values.
fn payload(answer: &Answer) -> u64 {
    match answer {
        Answer::Get(get) => get.value.len() as u64,
        Answer::Scan(scan) => {
            let sizes = scan.entries.iter().map(|entry| entry.key.len() + entry.value.len());
            sizes.sum::<usize>() as u64
        }
        Answer::Watch(watch) => {
            let sizes = watch.events.iter().map(|event| event.key.len() + event.value.len());
            sizes.sum::<usize>() as u64
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_count_what_they_answered_and_writes_what_they_were_asked() {
        let counts = ServedCounts::default();
        counts.note_read(&Answer::Get(v1::GetResponse {
            value: vec![0; 10].into(),
            ..Default::default()
        }));
        let entry = v1::ScanEntry {
            key: vec![0; 2].into(),
            value: vec![0; 3].into(),
            ..Default::default()
        };
        let entries = vec![entry; 4];
        counts.note_read(&Answer::Scan(v1::ScanResponse { entries, ..Default::default() }));
        counts.note_write(7);
        let served = v1::OperationCounts { reads: 2, read_bytes: 30, writes: 1, written_bytes: 7 };
        assert_eq!(counts.to_wire(), served);
    }
}
