//! What one node's disk holds: it loses what was not durable, and nothing else.

use doug_node::host::RestoredReplica;
use doug_proto::map::Partition;
use doug_raft::{Batch, BatchTime, ReplicaId, Term};
use doug_storage::ReplicaKey;
use doug_storage::log::Record;
use std::collections::{BTreeMap, BTreeSet};

/// A replica's part of it.
#[derive(Clone, Debug)]
pub struct Stored {
    pub replica: u64,
    first: Partition,
    term: Term,
    vote: Option<u64>,
    commit: u64,
    pub log: Vec<Batch>,
}

/// Replicas by partition, and those that are gone for ever.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    pub replicas: BTreeMap<u64, Stored>,
    pub tombstones: BTreeSet<(u64, u64)>,
}

impl Disk {
    pub fn create(&mut self, key: ReplicaKey, first: Partition) {
        let ReplicaKey { partition, replica } = key;
        let stored = Stored { replica, first, term: 0, vote: None, commit: 0, log: Vec::new() };
        let known = self.replicas.insert(partition, stored);
        assert!(known.is_none(), "two replicas of partition {partition} on one disk");
    }

    pub fn remove(&mut self, key: ReplicaKey) {
        let held = self.replicas.get(&key.partition).map(|stored| stored.replica);
        if held == Some(key.replica) {
            self.replicas.remove(&key.partition);
        }
        self.tombstones.insert((key.partition, key.replica));
    }

    /// A record is durable. Of a replica that has left it means nothing any more.
    pub fn write(&mut self, record: &Record) {
        match record {
            Record::Batch { replica, base, commit, data, .. } => {
                let Some(stored) = self.of(*replica) else { return };
                let batch = Batch::decode(data.clone()).expect("a host has encoded it");
                stored.log.retain(|older| older.base < *base);
                stored.term = stored.term.max(batch.term);
                stored.commit = stored.commit.max(*commit);
                stored.log.push(batch);
            }
            Record::HardState { replica, term, vote } => {
                if let Some(stored) = self.of(*replica) {
                    (stored.term, stored.vote) = (*term, *vote);
                }
            }
            Record::Reset { .. } => panic!("nobody sends snapshots here"),
        }
    }

    fn of(&mut self, key: ReplicaKey) -> Option<&mut Stored> {
        self.replicas.get_mut(&key.partition).filter(|stored| stored.replica == key.replica)
    }

    /// What a start finds.
    pub fn found(&self, seed: u64) -> Vec<RestoredReplica> {
        let found = |(partition, stored): (&u64, &Stored)| RestoredReplica {
            replica: ReplicaKey { partition: *partition, replica: stored.replica },
            descriptor: stored.first.clone(),
            term: stored.term,
            vote: stored.vote.map(ReplicaId),
            applied: (0, 0),
            applied_time: BatchTime::default(),
            commit: stored.commit,
            feature_level: 1,
            batches: stored.log.clone(),
            ambiguous_tail: false,
            seed: seed ^ partition,
        };
        self.replicas.iter().map(found).collect()
    }
}
