//! Records of all hosts of a node on their way to its log.
//!
//! A batch that finds no room waits until flushes have made some. Terms and votes need no room,
//! and do not wait for it: a vote that is given after the election timeout is none, and a full
//! log would keep every partition of the node from electing a leader.
//!
//! **Invariant:** records of one replica never pass each other (recovery reads them in order),
//! and a batch never passes a batch (or a large one would wait for ever).

use crate::work::Sequence;
use doug_storage::StorageError;
use doug_storage::log::Record;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What waits for the log. Its hosts bound it: see [`crate::host`].
#[derive(Debug, Default)]
pub struct LogQueue {
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    host: usize,
    sequence: Sequence,
    record: Record,
}

/// Which of its records a host may call durable once the log is synced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// All up to this one.
    pub upto: Sequence,
    /// Later ones, ascending: they passed others that wait for room.
    pub passed: Vec<Sequence>,
}

impl LogQueue {
    /// A record of a host; its sequence is greater than those of the host's records before it.
    pub fn push(&mut self, host: usize, sequence: Sequence, record: Record) {
        self.waiting.push_back(Waiting { host, sequence, record });
    }

    /// How many records wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether no record waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Appends what the log has room for. Returns what each host may call durable after the next
    /// sync; hosts of which nothing was appended are left out.
    ///
    /// # Errors
    /// What `append` fails with, unless it is [`Busy`](StorageError::Busy) (the record waits on) or
    /// [`Removed`](StorageError::Removed) (it is of no use to anyone).
    pub fn append(
        &mut self,
        mut append: impl FnMut(&Record) -> Result<(), StorageError>,
    ) -> Result<BTreeMap<usize, Appended>, StorageError> {
        let mut appended: BTreeMap<usize, Vec<Sequence>> = BTreeMap::new();
        let mut no_room = false;
        let mut waiting_partitions = BTreeSet::new();
        let mut left = VecDeque::new();
        for waiting in self.waiting.drain(..) {
            let partition = waiting.record.replica().partition;
            let is_batch = matches!(waiting.record, Record::Batch { .. });
            if (no_room && is_batch) || waiting_partitions.contains(&partition) {
                waiting_partitions.insert(partition);
                left.push_back(waiting);
                continue;
            }
            match append(&waiting.record) {
                Ok(()) | Err(StorageError::Removed { .. }) => {
                    appended.entry(waiting.host).or_default().push(waiting.sequence);
                }
                Err(error) if error.is_busy() => {
                    no_room = true;
                    waiting_partitions.insert(partition);
                    left.push_back(waiting);
                }
                Err(error) => return Err(error),
            }
        }
        self.waiting = left;
        let durable = |(host, sequences)| (host, self.split(host, sequences));
        Ok(appended.into_iter().map(durable).collect())
    }

    /// Which of a host's appended records follow one that waits.
    fn split(&self, host: usize, mut sequences: Vec<Sequence>) -> Appended {
        let first_waiting = self.waiting.iter().find(|waiting| waiting.host == host);
        let passed = first_waiting.map_or_else(Vec::new, |first| {
            let at = sequences.partition_point(|sequence| *sequence < first.sequence);
            sequences.split_off(at)
        });
        Appended { upto: sequences.last().copied().unwrap_or_default(), passed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use doug_storage::ReplicaKey;

    fn replica(partition: u64) -> ReplicaKey {
        ReplicaKey { partition, replica: 1 }
    }

    fn batch(partition: u64) -> Record {
        let data = Bytes::from_static(b"batch");
        Record::Batch { replica: replica(partition), base: 1, count: 1, term: 1, commit: 0, data }
    }

    fn vote(partition: u64) -> Record {
        Record::HardState { replica: replica(partition), term: 2, vote: Some(2) }
    }

    fn queue(records: impl IntoIterator<Item = (usize, u64, Record)>) -> LogQueue {
        let mut queue = LogQueue::default();
        for (host, sequence, record) in records {
            queue.push(host, Sequence(sequence), record);
        }
        queue
    }

    /// Appends to a log with room for so many batches; what was appended, by partition.
    fn append(queue: &mut LogQueue, mut room: usize) -> (BTreeMap<usize, Appended>, Vec<u64>) {
        let mut partitions = Vec::new();
        let appended = queue.append(|record| {
            if matches!(record, Record::Batch { .. }) {
                let limit = room as u64;
                let busy = StorageError::Busy { what: "the log", used: limit, limit };
                room = room.checked_sub(1).ok_or(busy)?;
            }
            partitions.push(record.replica().partition);
            Ok(())
        });
        (appended.expect("it is busy at worst"), partitions)
    }

    fn appended(upto: u64, passed: &[u64]) -> Appended {
        Appended { upto: Sequence(upto), passed: passed.iter().copied().map(Sequence).collect() }
    }

    #[test]
    fn a_vote_does_not_wait_for_the_room_that_batches_of_other_partitions_need() {
        let mut queue =
            queue([(0, 1, vote(1)), (0, 2, batch(1)), (0, 3, vote(2)), (0, 4, vote(1))]);
        let (first, partitions) = append(&mut queue, 0);
        assert_eq!(first, BTreeMap::from([(0, appended(1, &[3]))]));
        assert_eq!(partitions, [1, 2]);
        let (then, partitions) = append(&mut queue, 1);
        assert_eq!(then, BTreeMap::from([(0, appended(4, &[]))]));
        assert_eq!(partitions, [1, 1]);
        assert!(queue.is_empty());
    }

    #[test]
    fn records_of_one_replica_never_pass_each_other_nor_a_batch_a_batch() {
        let mut queue = queue([
            (0, 1, batch(1)),
            (0, 2, batch(2)),
            (0, 3, vote(2)),
            (0, 4, batch(2)),
            (0, 5, batch(3)),
        ]);
        let (first, partitions) = append(&mut queue, 1);
        assert_eq!((&first[&0], partitions), (&appended(1, &[]), vec![1]));
        assert_eq!(queue.len(), 4);
        let (then, partitions) = append(&mut queue, usize::MAX);
        assert_eq!((&then[&0], partitions), (&appended(5, &[]), vec![2, 2, 2, 3]));
    }

    #[test]
    fn one_host_waits_and_another_does_not() {
        let mut queue = queue([(0, 1, batch(1)), (1, 1, vote(2)), (1, 2, vote(4))]);
        let (first, _) = append(&mut queue, 0);
        assert_eq!(first, BTreeMap::from([(1, appended(2, &[]))]));
        let (then, _) = append(&mut queue, 1);
        assert_eq!(then, BTreeMap::from([(0, appended(1, &[]))]));
    }

    #[test]
    fn what_a_removed_replica_still_had_on_its_way_goes_and_other_failures_are_told() {
        let removed = || StorageError::Removed { replica: replica(1) };
        let mut queue = queue([(0, 1, batch(1))]);
        let appended_then = queue.append(|_| Err(removed())).expect("nobody minds");
        assert_eq!(appended_then, BTreeMap::from([(0, appended(1, &[]))]));
        queue.push(0, Sequence(2), batch(2));
        assert!(queue.append(|_| Err(StorageError::Refused("a gap".into()))).is_err());
    }
}
