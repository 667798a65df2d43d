//! A process's volume: measured again and again, by the code that ships.

use super::death::Death;
use super::maintenance::Task;
use super::process::Process;
use crate::checks::Violation;
use crate::context::Context;
use crate::mutants::Mutant;
use doug_node::apply::ReplicaData;
use doug_node::volume::{Needs, Reservation, WriteAdmission};
use doug_node::volume::{Purpose, only_deletes};
use doug_proto::error::Fault;
use doug_proto::v1;

impl Process {
    /// Measures, and has memtables flushed for the sake of what they delete.
    ///
    /// # Errors
    /// Somebody has taken the room that the log may need.
    pub(super) fn measure(&mut self, cx: &mut Context) -> Result<(), Death> {
        for held in self.partitions.values() {
            self.memtables.note(held.key(), held.memtable_bytes());
        }
        self.memtables.ask_again();
        self.flush_memtables(cx);
        let memtables = self.memtables.total();
        let needs = Needs { log: self.reader.growth(), memtables };
        let Ok(changed) = self.volume.measure(|| self.store.space(), needs) else {
            return Ok(());
        };
        self.memtables.has_room(self.volume.room_for_memtables());
        self.flush_memtables(cx);
        match changed {
            Some(WriteAdmission::Writes) => cx.coverage.hit("volume has room again"),
            Some(WriteAdmission::Deletes) => cx.coverage.hit("volume full"),
            Some(WriteAdmission::Nothing) => cx.coverage.hit("volume full even for deletes"),
            None => {}
        }
        self.check_log_room(needs.log, cx)?;
        if self.volume.wants_flushes(self.clock.local(cx.now)) {
            let held = self.partitions.values().filter(|held| !held.is_flushed());
            let replicas: Vec<_> = held.map(|held| held.key()).collect();
            for replica in replicas {
                self.enqueue(Task::Flush(replica), cx);
            }
        }
        Ok(())
    }

    /// A replica's memtables have changed: the largest of all are flushed where that is too much.
    pub(super) fn note_memtables(&mut self, partition: &ReplicaData, cx: &mut Context) {
        if cx.plan.mutant == Mutant::MemtablesMeasuredRarely {
            return;
        }
        self.memtables.note(partition.key(), partition.memtable_bytes());
        self.flush_memtables(cx);
    }

    fn flush_memtables(&mut self, cx: &mut Context) {
        for replica in self.memtables.to_flush() {
            cx.coverage.hit("memtable flushed for another's sake");
            self.enqueue(Task::Flush(replica), cx);
        }
    }

    /// Applying is held back in time: what is applied begins while all memtables together are at
    /// most a quarter beyond their share.
    ///
    /// # Errors
    /// They were beyond it.
    pub(super) fn check_memtables(&self, cx: &Context) -> Result<(), Violation> {
        let held: u64 = self.partitions.values().map(|held| held.memtable_bytes()).sum();
        let share = cx.plan.memtable_share;
        if held <= share + share / 4 {
            return Ok(());
        }
        let what = format!(
            "{} applies more while its memtables hold {held} bytes, of a share of {share}",
            self.name
        );
        Err(Violation::new("memtables keep to their share", what))
    }

    /// Whoever writes tables leaves the log what it may need. The manifest is not counted: it is
    /// small, and lives on what is kept free.
    fn check_log_room(&self, log: u64, cx: &Context) -> Result<(), Death> {
        let Some(room) = self.volume.room() else { return Ok(()) };
        let manifest = 4 * cx.plan.store.manifest.rewrite_bytes;
        if room.free + manifest >= log {
            return Ok(());
        }
        let what = format!(
            "{}: {} bytes are free, and the log may need {log}: somebody took its room",
            self.name, room.free
        );
        Err(Violation::new("the log's room is kept", what).into())
    }

    /// Whether a write is taken, as far as the volume goes: only who leads refuses for want of
    /// room.
    pub(super) fn admit_write(
        &self,
        partition: u64,
        command: &v1::WriteCommand,
    ) -> Result<(), Fault> {
        if self.leads_here(partition) { self.volume.admit(only_deletes(command)) } else { Ok(()) }
    }

    /// The same of a session.
    pub(super) fn admit_session(&self, partition: u64) -> Result<(), Fault> {
        if self.leads_here(partition) { self.volume.admit(true) } else { Ok(()) }
    }

    fn leads_here(&self, partition: u64) -> bool {
        let host = &self.hosts[self.host_of(partition)].host;
        host.raft(partition).is_some_and(|raft| raft.leader() == Some(raft.id()))
    }

    /// Room for a snapshot of so many bytes.
    pub fn reserve_for_snapshot(&self, bytes: u64) -> Option<Reservation> {
        self.volume.reserve(Purpose::Snapshot, bytes)
    }

    /// Whether it refuses writes because its volume is full.
    pub fn is_full(&self) -> bool {
        self.volume.admission() != WriteAdmission::Writes
    }
}
