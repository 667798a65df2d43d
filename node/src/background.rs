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
use doug_storage::tree::{FlushJob, Progress, TreeChange};
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
