//! A partition on a simulated disk, fed with batches by hand.
#![allow(dead_code)] // each test file uses its part

use bytes::Bytes;
use doug_node::apply::{Machine, ReplicaData};
use doug_node::work::{ApplyBatch, ApplyWork, RequestId, encode_command};
use doug_proto::ids::{DatabaseId, NodeId};
use doug_proto::map::{KeyspaceId, Member, Partition as Descriptor};
use doug_proto::routing::Routing;
use doug_proto::v1::{self, command, condition::Test, write_operation::Operation};
use doug_raft::{Batch, BatchKind, BatchTime, PartitionId, Stamp};
use doug_sim_disk::SimDisk;
use doug_storage::manifest::{Identity, MapEntries};
use doug_storage::snapshot::{Sending, SnapshotInfo};
use doug_storage::store::{NewReplica, Store, StoreOptions};
use doug_storage::tree::{Progress, ScanRange, SnapshotTables, TreeChange};
use doug_storage::{Applied, ReplicaKey};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub const KEY: ReplicaKey = ReplicaKey { partition: 1, replica: 1 };

pub fn descriptor(start: &'static [u8], end: &'static [u8]) -> Descriptor {
    Descriptor {
        id: 1,
        keyspace: KeyspaceId::DEFAULT,
        start: start.into(),
        end: end.into(),
        generation: 1,
        cluster: "a".into(),
        voters: vec![Member { node: NodeId::from_bits(1), replica: 1 }],
        learners: Vec::new(),
        parents: Vec::new(),
        outgoing: Vec::new(),
        next_replica: 0,
        goal: None,
        recoveries: Vec::new(),
    }
}

pub struct Bench {
    pub disk: Arc<SimDisk>,
    pub store: Arc<Store>,
    pub partition: ReplicaData,
    next: u64,
}

impl Bench {
    /// Names of the table files on its disk.
    pub fn tables(&self) -> Vec<PathBuf> {
        let paths = self.disk.contents().into_keys();
        paths.filter(|path| path.starts_with("node/sst")).collect()
    }

    /// A partition of every key, by range.
    pub fn new() -> Self {
        Self::owning(descriptor(b"", b""))
    }

    pub fn owning(descriptor: Descriptor) -> Self {
        Self::storing(descriptor, StoreOptions::default())
    }

    pub fn storing(descriptor: Descriptor, options: StoreOptions) -> Self {
        let disk = Arc::new(SimDisk::new(1));
        let opened = Store::open(disk.clone(), Path::new("node"), options).unwrap();
        let machine = Machine::new(DatabaseId::from_bits(7), Routing::Range, descriptor);
        let new = NewReplica { key: KEY, applied: Applied::default(), state: machine.encode() };
        let identity = Identity { node: 1, database: Some(7) };
        let (creation, map) = (Bytes::new(), MapEntries::new());
        let mut trees = opened.store.join_database(identity, creation, map, &[new]).unwrap();
        let partition = ReplicaData::new(KEY, trees.remove(0), machine, Applied::default());
        Self { disk, store: opened.store, partition, next: 1 }
    }

    /// Applies commands as one batch; an outcome for each.
    pub fn apply(&mut self, commands: &[v1::Command]) -> Vec<v1::Outcome> {
        let encoded: Vec<Bytes> = commands.iter().map(encode_command).collect();
        let (base, time) =
            (self.next, BatchTime { stamp: Stamp(self.next), ..BatchTime::default() });
        let batch = Batch::encode(PartitionId(1), BatchKind::Commands, 1, base, time, &encoded);
        self.next = batch.last() + 1;
        let waiting = (0..commands.len() as u64).map(RequestId).collect();
        let batches = vec![ApplyBatch { batch, waiting }];
        let work = self.partition.apply(ApplyWork { replica: KEY, batches }).unwrap();
        work.outcomes.into_iter().map(|(_, outcome, _)| outcome).collect()
    }

    pub fn apply_one(&mut self, command: v1::Command) -> v1::Outcome {
        self.apply(&[command]).remove(0)
    }

    /// Flushes everything that is applied.
    pub fn flush(&self) {
        let change = self.flushed();
        self.partition.publish(&self.store, change).unwrap().expect("nothing made it void");
    }

    /// A flush of everything that is applied, not published yet.
    pub fn flushed(&self) -> TreeChange {
        let mut job = self.partition.jobs(true).flush.expect("a forced flush");
        loop {
            if let Progress::Done(change) = job.step(1 << 10).unwrap() {
                break change;
            }
        }
    }

    /// A snapshot of another partition, arrived whole and not installed yet.
    pub fn receive(&self, source: &Bench) -> (SnapshotTables, SnapshotInfo) {
        source.flush();
        let checkpoint = source.partition.published(&source.store).unwrap();
        let snapshot = source.store.keep_snapshot(source.partition.key(), &checkpoint).unwrap();
        let info = snapshot.info().clone();
        let mut incoming = self.store.receive_snapshot(self.partition.key(), info.clone()).unwrap();
        let mut sending = Sending::new(snapshot, incoming.lacking(), 1 << 10).unwrap();
        while let Some(chunk) = sending.next_chunk().unwrap() {
            incoming.accept(&chunk).unwrap();
        }
        (self.store.adopt_snapshot(&incoming).unwrap(), info)
    }

    pub fn get(&self, key: &[u8]) -> Option<Bytes> {
        let found = self.partition.reader().view().get(key, None).unwrap();
        found.map(|found| found.value)
    }

    /// Everything a client could see, and the state behind it.
    pub fn contents(&self) -> Contents {
        contents(&self.partition)
    }
}

/// Keys with revision and value, the state block, and the client sessions.
pub type Contents = (Vec<(Bytes, u64, Bytes)>, Bytes, Vec<v1::SessionState>);

pub fn contents(partition: &ReplicaData) -> Contents {
    let checkpoint = partition.checkpoint();
    let scan = checkpoint.view.scan(ScanRange::all(), None).unwrap();
    let entries = scan.map(|entry| entry.unwrap()).map(|e| (e.key, e.revision, e.value));
    (entries.collect(), checkpoint.state, checkpoint.sessions)
}

pub fn register() -> v1::Command {
    v1::Command { command: Some(command::Command::Register(v1::RegisterCommand {})) }
}

pub fn write(
    session: Option<(u64, u64)>,
    conditions: Vec<v1::Condition>,
    operations: Vec<v1::WriteOperation>,
) -> v1::Command {
    let session = session.map(|(id, sequence)| v1::Session { id, sequence, lowest_unanswered: 1 });
    let then = operations.into_iter().map(doug_proto::transaction::of_batch).collect();
    let write = v1::WriteCommand { session, conditions, then, ..Default::default() };
    v1::Command { command: Some(command::Command::Write(write)) }
}

pub fn put(key: &str, value: &str) -> v1::WriteOperation {
    let put = v1::PutOperation {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Bytes::copy_from_slice(value.as_bytes()),
        ttl_milliseconds: None,
    };
    v1::WriteOperation { operation: Some(Operation::Put(put)) }
}

pub fn delete(key: &str) -> v1::WriteOperation {
    let delete = v1::DeleteOperation { key: Bytes::copy_from_slice(key.as_bytes()) };
    v1::WriteOperation { operation: Some(Operation::Delete(delete)) }
}

pub fn when(key: &str, test: Test) -> v1::Condition {
    v1::Condition {
        key: Bytes::copy_from_slice(key.as_bytes()),
        test: Some(test),
        ..Default::default()
    }
}
