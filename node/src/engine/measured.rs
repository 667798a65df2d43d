//! The engine measured, for its metrics.

use super::{Engine, wake_ups};
use crate::apply::ReplicaData;
use crate::flow::Class;
use crate::metrics::{HostsMeasured, Measured, ReplicaMeasured, VolumeMeasured};
use crate::volume::WriteAdmission;
use doug_proto::map::PartitionMap;

impl Engine {
    /// Its gauges now. Looks at every replica.
    pub fn measured(&self) -> Measured {
        let map = self.maps.get();
        let replicas: Vec<_> = self.partitions.read().values().cloned().collect();
        Measured {
            hosts: self.hosts_measured(),
            request_bytes: self.requests.bytes(),
            answer_bytes: self.answers.used(),
            received_bytes: self.received.used(),
            under_way: Class::ALL.map(|class| {
                let (under_way, limit) = self.requests.under_way(class);
                (class, under_way, limit)
            }),
            log_bytes: self.log_bytes(),
            log_tail_cut: self.store.log_cut().is_some(),
            volume: self.volume.room().map(|room| VolumeMeasured {
                total: room.total,
                free: room.free,
                available: room.available,
                reserved: self.volume.reserved(),
            }),
            refuses_writes: self.volume.admission() != WriteAdmission::Writes,
            memtable_bytes: self.memtables.lock().total(),
            lookup_bytes: self.store.cache().lookup_bytes(),
            session_bytes: self.session_memory.used(),
            change_bytes: self.watch_room.recent_bytes(),
            waiting_watches: self.watches.lock().waiting(),
            open_tables: self.store.table_files().open_count(),
            map_epoch: self.maps.epoch(),
            budget: self.budget,
            replicas: replicas.iter().map(|held| replica_measured(held, map.as_deref())).collect(),
            threads: wake_ups::of_all_threads(),
        }
    }

    fn hosts_measured(&self) -> HostsMeasured {
        HostsMeasured {
            clock_offset: self.clock_offset(),
            leaderships: self.hosts.iter().map(|host| host.leaderships()).sum(),
            quiesced: self.hosts.iter().map(|host| host.quiesced()).sum(),
            ambiguous_tails: self.hosts.iter().map(|host| host.ambiguous_tails()).sum(),
            log_backlog_bytes: self.hosts.iter().map(|host| host.log_backlog()).sum(),
        }
    }
}

fn replica_measured(replica: &ReplicaData, map: Option<&PartitionMap>) -> ReplicaMeasured {
    let id = replica.descriptor().keyspace;
    let keyspace = map.and_then(|map| map.keyspace(id)).map(|keyspace| keyspace.name.clone());
    ReplicaMeasured {
        partition: replica.key().partition,
        keyspace,
        leads: replica.leads(),
        sessions: replica.session_count(),
        bytes: replica.bytes(),
        compaction_debt: replica.compaction_debt(),
        applied: replica.applied().index,
    }
}
