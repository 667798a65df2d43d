//! What is done for a partition behind the scenes, and the room that it takes.
//!
//! Flushes go first: they free memory and the log. Then a compaction that is due, if it finds
//! room for all that it may write. On a full volume, or where a compaction found no room, tables
//! are looked through one by one for what newer ones hide. Nothing is written for which no room
//! was reserved.

use crate::apply::ReplicaData;
use crate::volume::{Purpose, Reservation, Volume};
use doug_raft::Time;
use doug_storage::StorageError;
use doug_storage::compaction::{CompactionJob, Survey, Surveyed};
use doug_storage::tree::{FlushJob, Pressure, Progress, TreeChange};
use std::sync::Arc;

/// A piece of background work that is under way, with its room. Dropped, it changes nothing.
#[derive(Debug)]
pub enum Background {
    /// A memtable is written to disk.
    Flush(Box<FlushJob>, Reservation),
    /// Tables are merged, or one is written anew.
    Compaction(Box<CompactionJob>, Reservation),
    /// A table is looked through.
    Survey(Box<Survey>),
}

/// What a step led to.
#[derive(Debug)]
pub enum Step {
    /// There is more to do.
    More(Background),
    /// This is to be published.
    Done(TreeChange),
    /// It came to nothing; there may be something else to do.
    Nothing,
}

/// Why a job that failed is tried again later: nobody relies on its tables yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passing {
    /// The volume had no room for a table.
    NoRoom,
    /// There was no descriptor to open a table with. Others give theirs back.
    NoDescriptor,
}

impl Passing {
    /// `None`: the failure would come again.
    pub fn of(error: &StorageError) -> Option<Self> {
        if error.is_no_room() {
            Some(Self::NoRoom)
        } else if error.is_out_of_descriptors() {
            Some(Self::NoDescriptor)
        } else {
            None
        }
    }
}

/// How a replica's tree bears that more is applied. Memtables that cannot be flushed must not fill
/// memory or volume. Level 0 gets no shorter while no compaction finds room: to wait for that
/// would stall the partition without a word; filled on, the volume refuses writes in words.
pub fn pressure(partition: &ReplicaData, memtables_full: bool, volume: &Volume) -> Pressure {
    if memtables_full {
        Pressure::Stop
    } else if volume.compacts() {
        partition.pressure()
    } else {
        partition.flush_pressure()
    }
}

impl Background {
    /// What is to be done now; with `flush`, the memtable is flushed however small. Nothing for a
    /// while after something found no room.
    pub fn next(
        partition: &ReplicaData,
        flush: bool,
        volume: &Arc<Volume>,
        now: Time,
    ) -> Option<Self> {
        if volume.rests(now) {
            return None;
        }
        let jobs = partition.jobs(flush);
        if let Some(job) = jobs.flush {
            let Some(room) = volume.reserve(Purpose::Flush, job.input_bytes()) else {
                volume.found_none(now);
                return None;
            };
            return Some(Self::Flush(Box::new(job), room));
        }
        if let Some(job) = jobs.compaction
            && let Some(room) = volume.reserve_to_compact(job.input_bytes())
        {
            return Some(Self::Compaction(Box::new(job), room));
        }
        if !volume.wants_room() {
            return None;
        }
        partition.survey(volume.room_to_compact()).map(Self::Survey)
    }

    /// Works through about `budget` bytes.
    ///
    /// # Errors
    /// I/O, for want of room too; corruption.
    pub fn step(self, budget: usize, volume: &Arc<Volume>) -> Result<Step, StorageError> {
        match self {
            Self::Flush(mut job, mut room) => {
                let progress = job.step(budget);
                room.wrote(job.written());
                Ok(match progress? {
                    Progress::More => Step::More(Self::Flush(job, room)),
                    Progress::Done(change) => Step::Done(change),
                })
            }
            Self::Compaction(mut job, mut room) => {
                let progress = job.step(budget);
                room.wrote(job.written());
                Ok(match progress? {
                    Progress::More => Step::More(Self::Compaction(job, room)),
                    Progress::Done(change) => Step::Done(change),
                })
            }
            Self::Survey(survey) => match survey.step(budget)? {
                Surveyed::More(more) => Ok(Step::More(Self::Survey(more))),
                Surveyed::Vain => Ok(Step::Nothing),
                Surveyed::Worth(found) => {
                    match volume.reserve(Purpose::Compaction, found.needs()) {
                        Some(room) => {
                            let job = Box::new(found.begin()?);
                            Ok(Step::More(Self::Compaction(job, room)))
                        }
                        None => {
                            found.put_off();
                            Ok(Step::Nothing)
                        }
                    }
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    fn failed(code: i32) -> StorageError {
        StorageError::io("open", "sst/1.sst")(io::Error::from_raw_os_error(code))
    }

    #[test]
    fn a_job_without_descriptor_or_room_is_tried_again_and_no_other() {
        const EIO: i32 = 5;
        const EMFILE: i32 = 24;
        const ENOSPC: i32 = 28;
        assert_eq!(Passing::of(&failed(EMFILE)), Some(Passing::NoDescriptor));
        assert_eq!(Passing::of(&failed(ENOSPC)), Some(Passing::NoRoom));
        assert_eq!(Passing::of(&failed(EIO)), None);
        assert_eq!(Passing::of(&StorageError::Fatal { what: "the sync failed".into() }), None);
    }
}
