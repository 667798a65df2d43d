//! A start needs no memory for the whole log: what is not kept is read again when it is applied.

mod support;

use bytes::Bytes;
use doug_node::host::{Event, Host, HostConfig, RestoredReplica};
use doug_node::replicas;
use doug_node::work::encode_command;
use doug_proto::ids::NodeId;
use doug_raft::{Batch, BatchKind, BatchTime, Clock, PartitionId, Stamp, Time};
use doug_sim_disk::{Crash, SimDisk};
use doug_storage::log::Record;
use doug_storage::store::{Opened, Store, StoreOptions};
use std::path::Path;
use std::sync::Arc;
use support::{Bench, KEY, put, write};

const BATCHES: u64 = 20;
const VALUE_BYTES: usize = 1_000;

fn batch(base: u64) -> Batch {
    let value = "v".repeat(VALUE_BYTES);
    let command = encode_command(&write(None, vec![], vec![put(&format!("key {base}"), &value)]));
    let time = BatchTime { stamp: Stamp(base), ..BatchTime::default() };
    Batch::encode(PartitionId(1), BatchKind::Commands, 1, base, time, &[command])
}

/// A node whose log holds what its tables do not, after it lost power.
fn opened() -> Opened {
    let Bench { disk, store, partition, .. } = Bench::new();
    drop((store, partition));
    let mut opened = open(&disk);
    opened.log.append(Record::HardState { replica: KEY, term: 1, vote: None }).unwrap();
    for base in 1..=BATCHES {
        let data: Bytes = batch(base).encoded;
        let record = Record::Batch { replica: KEY, base, count: 1, term: 1, commit: base, data };
        opened.log.append(record).unwrap();
    }
    opened.log.sync().unwrap();
    drop(opened);
    disk.crash(Crash::LoseUnsynced);
    open(&disk)
}

fn open(disk: &Arc<SimDisk>) -> Opened {
    Store::open(disk.clone(), Path::new("node"), StoreOptions::default()).unwrap()
}

fn restore(opened: &mut Opened, memory: &mut u64) -> RestoredReplica {
    let found = opened.replicas.remove(0);
    replicas::restore(found, &opened.reader, memory, 1).unwrap().1
}

#[test]
fn a_start_keeps_no_more_of_the_log_than_it_was_given_memory_for() {
    let given = 5 * VALUE_BYTES as u64;
    let mut memory = given;
    let found = restore(&mut opened(), &mut memory);
    assert_eq!(found.batches.len(), BATCHES as usize);
    let kept: u64 = found.batches.iter().map(|batch| batch.encoded.len() as u64).sum();
    assert!((1..=given).contains(&kept), "{kept} bytes of {given} are kept");
    assert_eq!(memory, given - kept);
    assert!(found.batches.iter().all(|batch| batch.size() > VALUE_BYTES as u64));
}

#[test]
fn what_a_start_did_not_keep_is_read_again_and_applied() {
    let mut opened = opened();
    let found = restore(&mut opened, &mut 3_000);
    let now = Time(1_000_000);
    let mut host = Host::new(HostConfig::new(NodeId::from_bits(1)));
    host.restore(now, found);
    let mut applied = Vec::new();
    // Each turn asks for something, or is the last.
    loop {
        host.step(now, Event::Tick { wall: Clock::default() });
        let effects = host.take_effects(now);
        if effects.fetch.is_empty() && effects.apply.is_empty() {
            break;
        }
        for fetch in effects.fetch {
            let read = opened.reader.read(fetch.replica, fetch.from, fetch.to).unwrap();
            let batches = read.into_iter().map(|data| Batch::decode(data).unwrap()).collect();
            host.step(now, Event::Fetched { replica: fetch.replica, batches });
        }
        for work in effects.apply {
            applied.extend(work.batches.into_iter().map(|apply| apply.batch));
            let index = applied.last().map_or(0, Batch::last);
            let (feature_level, wanted, next_expiry) = (1, None, None);
            let applied =
                Event::Applied { replica: KEY, index, feature_level, wanted, next_expiry };
            host.step(now, applied);
        }
    }
    let written: Vec<Batch> = (1..=BATCHES).map(batch).collect();
    assert_eq!(applied, written);
}
