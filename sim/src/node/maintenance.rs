//! A process's background work: flushes and compactions in small steps, and
//! batches read back from the log.

use super::death::Death;
use super::process::{Process, TIDY};
use crate::context::Context;
use crate::events::NodeEvent;
use crate::time::micros;
use doug_node::apply::ReplicaData;
use doug_node::background::{Background, Passing, Step};
use doug_node::host::{Event, Fetch};
use doug_proto::map::Partition as Descriptor;
use doug_raft::Batch;
use doug_storage::tree::TreeChange;
use doug_storage::{ReplicaKey, StorageError};
use std::sync::Arc;

/// Something to do behind the scenes.
#[derive(Clone, Debug)]
pub(super) enum Task {
    /// See whether a flush or a compaction is due.
    Jobs(ReplicaKey),
    /// Flush, however little there is.
    Flush(ReplicaKey),
    /// Read batches back.
    Fetch { host: usize, fetch: Fetch },
    /// Take a committed descriptor into the map.
    Publish(Arc<Descriptor>),
    /// Note that a replica holds again all that it acknowledged.
    TailRepaired(ReplicaKey),
    /// Remove a replica that its host has let go of.
    Remove(ReplicaKey),
}

/// What a worker is at.
pub(super) enum Work {
    Look {
        replica: ReplicaKey,
        force: bool,
    },
    Fetch {
        host: usize,
        fetch: Fetch,
    },
    Publish(Arc<Descriptor>),
    TailRepaired(ReplicaKey),
    Remove(ReplicaKey),
    Job(Arc<ReplicaData>, Background),
    /// A step is under way. What it enqueues goes to others: given to this worker, it would be
    /// lost when the step ends.
    Stepping,
}

/// Bytes of one step of a job.
const STEP: usize = 2 << 10;

impl Process {
    pub(super) fn enqueue(&mut self, task: Task, cx: &mut Context) {
        self.tasks.push_back(task);
        self.wake(cx);
    }

    fn wake(&mut self, cx: &mut Context) {
        for worker in 0..self.workers.len() {
            if self.workers[worker].is_some() {
                continue;
            }
            let Some(task) = self.tasks.pop_front() else { return };
            self.workers[worker] = Some(match task {
                Task::Jobs(replica) => Work::Look { replica, force: false },
                Task::Flush(replica) => Work::Look { replica, force: true },
                Task::Fetch { host, fetch } => Work::Fetch { host, fetch },
                Task::Publish(descriptor) => Work::Publish(descriptor),
                Task::TailRepaired(replica) => Work::TailRepaired(replica),
                Task::Remove(replica) => Work::Remove(replica),
            });
            self.work_soon(worker, cx);
        }
    }

    fn work_soon(&self, worker: usize, cx: &mut Context) {
        let delay = cx.random.duration_between(micros(10), micros(1_500));
        self.schedule(delay, NodeEvent::Work(worker), cx);
    }

    pub(super) fn work(&mut self, worker: usize, cx: &mut Context) -> Result<(), Death> {
        let Some(work) = self.workers[worker].replace(Work::Stepping) else {
            self.workers[worker] = None;
            return Ok(());
        };
        self.workers[worker] = match work {
            Work::Stepping => unreachable!("a worker steps within its step"),
            Work::Look { replica, force } => self.look(replica, force, cx),
            Work::Fetch { host, fetch } => self.read_back(host, fetch, cx)?,
            Work::Publish(descriptor) => {
                self.publish(&descriptor, cx)?;
                None
            }
            Work::TailRepaired(replica) => {
                match self.store.tail_repaired(replica) {
                    Ok(()) | Err(StorageError::Removed { .. } | StorageError::Fenced { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
                None
            }
            Work::Remove(replica) => {
                self.remove(replica, cx)?;
                None
            }
            Work::Job(partition, job) => match job.step(STEP, &self.volume) {
                Ok(Step::More(more)) => Some(Work::Job(partition, more)),
                Ok(Step::Done(change)) => self.publish_job(&partition, change, cx)?,
                Ok(Step::Nothing) => Some(Work::Look { replica: partition.key(), force: false }),
                Err(error) => self.give_job_up(&partition, error, cx)?,
            },
        };
        if self.workers[worker].is_some() {
            self.work_soon(worker, cx);
        }
        self.wake(cx);
        Ok(())
    }

    fn look(&mut self, replica: ReplicaKey, force: bool, cx: &mut Context) -> Option<Work> {
        let partition = self.partition(replica)?;
        let now = self.clock.local(cx.now);
        let job = Background::next(&partition, force, &self.volume, now);
        // A memtable that is frozen for a flush is given the sessions first, whether or not the
        // flush finds room.
        self.note_memtables(&partition, cx);
        let job = job?;
        if matches!(job, Background::Survey(_)) {
            cx.coverage.hit("table looked through for room");
        }
        Some(Work::Job(partition, job))
    }

    fn give_job_up(
        &mut self,
        partition: &ReplicaData,
        error: StorageError,
        cx: &mut Context,
    ) -> Result<Option<Work>, Death> {
        match Passing::of(&error) {
            // The next look tries again.
            Some(Passing::NoDescriptor) => cx.coverage.hit("job without a descriptor"),
            // Likewise, once what was written of its tables is gone.
            Some(Passing::NoRoom) => {
                cx.coverage.hit("job without room");
                self.volume.found_none(self.clock.local(cx.now));
                self.store.delete_obsolete_files()?;
            }
            None => self.leave_if_damaged(partition.key(), error, cx)?,
        }
        Ok(None)
    }

    fn publish_job(
        &mut self,
        partition: &ReplicaData,
        change: TreeChange,
        cx: &mut Context,
    ) -> Result<Option<Work>, Death> {
        let replica = partition.key();
        match partition.publish(&self.store, change)? {
            Some(applied) => {
                cx.coverage.hit("flush");
                self.note_memtables(partition, cx);
                let host = self.host_of(replica.partition);
                self.post(host, Event::Flushed { replica, index: applied.index }, cx);
            }
            None => cx.coverage.hit("compaction"),
        }
        self.scan_pins.expire(self.clock.local(cx.now));
        self.store.delete_obsolete_files()?;
        Ok(Some(Work::Look { replica, force: false }))
    }

    fn read_back(
        &mut self,
        host: usize,
        Fetch { replica, from, to }: Fetch,
        cx: &mut Context,
    ) -> Result<Option<Work>, Death> {
        let mut batches = Vec::new();
        let mut next = from;
        while next <= to {
            match self.reader.read(replica, next, next) {
                Ok(found) => {
                    for bytes in found {
                        let batch = Batch::decode(bytes)
                            .map_err(|error| StorageError::Refused(error.to_string()))?;
                        next = batch.last() + 1;
                        batches.push(batch);
                    }
                }
                // Compacted or replaced since the host asked.
                Err(StorageError::NotInLog { .. }) => next += 1,
                Err(error) => return Err(error.into()),
            }
        }
        self.post(host, Event::Fetched { replica, batches }, cx);
        Ok(None)
    }

    pub(super) fn tidy(&mut self, cx: &mut Context) -> Result<(), Death> {
        let replicas: Vec<_> = self.partitions.values().map(|p| p.key()).collect();
        for replica in replicas {
            self.enqueue(Task::Jobs(replica), cx);
        }
        self.store.delete_obsolete_files()?;
        self.store.tidy_snapshots(cx.now.elapsed(), self.volume.wants_room())?;
        self.schedule(TIDY, NodeEvent::Tidy, cx);
        Ok(())
    }
}
