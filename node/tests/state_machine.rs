//! What commands do, once committed.

mod support;

use bytes::Bytes;
use doug_node::apply::{ReplicaData, Unapplied};
use doug_node::host::RestoredReplica;
use doug_node::replicas;
use doug_node::work::{ApplyBatch, ApplyWork, RequestId, encode_command};
use doug_proto::limits::SESSION_BYTES;
use doug_proto::map::Partition as Descriptor;
use doug_proto::v1::condition::Test;
use doug_raft::{Batch, BatchKind, BatchTime, PartitionId, Stamp};
use doug_sim_disk::Crash;
use doug_storage::snapshot::SnapshotInfo;
use doug_storage::store::{Opened, Store, StoreOptions};
use doug_storage::{Applied, StorageError};
use std::path::Path;
use support::{Bench, KEY, contents, delete, descriptor, put, register, when, write};

#[test]
fn a_write_gets_the_index_of_its_command_as_revision() {
    let mut bench = Bench::new();
    let one = write(None, vec![], vec![put("k", "1")]);
    let two = write(None, vec![], vec![put("k", "2")]);
    let outcomes = bench.apply(&[one, two]);
    assert_eq!(outcomes.iter().map(|o| o.revision).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(bench.get(b"k"), Some(Bytes::from("2")));
}

#[test]
fn an_unmet_condition_writes_nothing_and_tells_the_revision_that_stands() {
    let mut bench = Bench::new();
    bench.apply_one(write(None, vec![], vec![put("k", "1")]));
    let if_absent = vec![when("k", Test::Exists(false))];
    let outcome = bench.apply_one(write(None, if_absent, vec![put("k", "2")]));
    assert!(!outcome.conditions_met);
    assert_eq!(outcome.current_revision, 1);
    assert_eq!(bench.get(b"k"), Some(Bytes::from("1")));
}

#[test]
fn conditions_test_existence_revision_and_value() {
    let mut bench = Bench::new();
    bench.apply_one(write(None, vec![], vec![put("k", "v")]));
    let cases = [
        (when("k", Test::Exists(true)), true),
        (when("none", Test::Exists(true)), false),
        (when("none", Test::Exists(false)), true),
        (when("k", Test::Revision(1)), true),
        (when("k", Test::Revision(2)), false),
        (when("none", Test::Revision(0)), false),
        (when("k", Test::Value("v".into())), true),
        (when("k", Test::Value("".into())), false),
        (when("none", Test::Value("".into())), false),
    ];
    for (condition, met) in cases {
        let outcome = bench.apply_one(write(None, vec![condition.clone()], vec![]));
        assert_eq!(outcome.conditions_met, met, "{condition:?}");
    }
}

#[test]
fn a_batch_writes_all_or_nothing_and_names_the_first_condition_that_failed() {
    let mut bench = Bench::new();
    let conditions = || vec![when("a", Test::Exists(false)), when("b", Test::Exists(true))];
    let operations = || vec![put("a", "1"), put("c", "3"), delete("b")];
    let refused = bench.apply_one(write(None, conditions(), operations()));
    assert_eq!((refused.conditions_met, refused.failed_condition), (false, 1));
    assert_eq!(bench.contents().0, []);

    bench.apply_one(write(None, vec![], vec![put("b", "2")]));
    assert!(bench.apply_one(write(None, conditions(), operations())).conditions_met);
    let keys: Vec<Bytes> = bench.contents().0.into_iter().map(|(key, ..)| key).collect();
    assert_eq!(keys, ["a", "c"]);
}

#[test]
fn a_delete_tells_whether_the_key_existed() {
    let mut bench = Bench::new();
    bench.apply_one(write(None, vec![], vec![put("k", "")]));
    assert!(bench.apply_one(write(None, vec![], vec![delete("k")])).existed);
    assert!(!bench.apply_one(write(None, vec![], vec![delete("k")])).existed);
    assert_eq!(bench.get(b"k"), None);
}

#[test]
fn a_retried_write_applies_once_even_if_the_key_was_written_in_between() {
    let mut bench = Bench::new();
    let session = bench.apply_one(register()).revision;
    let ours = write(Some((session, 1)), vec![], vec![put("k", "ours")]);
    let first = bench.apply_one(ours.clone());
    bench.apply_one(write(None, vec![], vec![put("k", "theirs")]));
    assert_eq!(bench.apply_one(ours), first);
    assert_eq!(bench.get(b"k"), Some(Bytes::from("theirs")));
}

#[test]
fn a_retried_condition_keeps_its_first_outcome() {
    let mut bench = Bench::new();
    let session = bench.apply_one(register()).revision;
    let if_absent = vec![when("k", Test::Exists(false))];
    let ours = write(Some((session, 1)), if_absent, vec![put("k", "ours")]);
    assert!(bench.apply_one(ours.clone()).conditions_met);
    assert!(bench.apply_one(ours).conditions_met);
}

#[test]
fn a_write_of_an_unknown_session_is_not_applied() {
    let mut bench = Bench::new();
    let outcome = bench.apply_one(write(Some((99, 1)), vec![], vec![put("k", "v")]));
    assert!(outcome.session_expired);
    assert_eq!(bench.get(b"k"), None);
}

#[test]
fn a_key_outside_the_interval_is_refused_and_nothing_of_its_batch_applied() {
    let mut bench = Bench::owning(descriptor(b"", b"m"));
    let outcome = bench.apply_one(write(None, vec![], vec![put("a", "in"), put("z", "out")]));
    assert!(outcome.wrong_partition);
    assert_eq!(bench.contents().0, []);
}

#[test]
fn a_command_of_an_unknown_kind_stops_the_replica() {
    let bench = Bench::new();
    let batches = vec![awaited(1, unknown(), 11)];
    let Unapplied { error, .. } = bench.partition.apply(work(batches)).unwrap_err();
    assert!(error.to_string().contains("index 1"), "{error}");
}

#[test]
fn of_work_that_is_not_applied_to_its_end_everyone_who_waited_is_named() {
    let mut bench = Bench::new();
    bench.apply_one(register());
    let batches = vec![
        awaited(1, nothing(), 11),
        awaited(2, nothing(), 12),
        awaited(3, unknown(), 13),
        awaited(4, nothing(), 14),
    ];
    let mut waiting = bench.partition.apply(work(batches)).unwrap_err().waiting;
    waiting.sort();
    assert_eq!(waiting, [11, 12, 13, 14].map(RequestId));
}

#[test]
fn whoever_waits_for_what_a_snapshot_contained_is_named() {
    let mut bench = Bench::new();
    bench.apply_one(register());
    let batches = [1, 2].map(|index| awaited(index, nothing(), 10 + index));
    let applied = bench.partition.apply(work(batches.into())).unwrap();
    assert_eq!(applied.overtaken, [RequestId(11)]);
    assert_eq!(applied.outcomes[0].0, RequestId(12));
}

#[test]
fn a_batch_that_finds_no_descriptor_to_read_with_goes_on_later_where_it_stopped() {
    let one_table = StoreOptions { open_tables: 1, cache_bytes: 0, ..StoreOptions::default() };
    let mut bench = Bench::storing(descriptor(b"", b""), one_table);
    for key in ["a", "b"] {
        bench.apply_one(write(None, vec![], vec![put(key, "old")]));
        bench.flush();
    }
    let begun = write(None, vec![], vec![put("c", "of the same batch")]);
    let reads = write(None, vec![when("a", Test::Value("old".into()))], vec![put("a", "new")]);
    let stamp = Stamp(3);
    let commands = [begun, reads].map(|command| encode_command(&command));
    let time = BatchTime { stamp, ..BatchTime::default() };
    let batch = Batch::encode(PartitionId(1), BatchKind::Commands, 1, 3, time, &commands);
    let waiting = vec![RequestId(3), RequestId(4)];
    bench.disk.limit_descriptors(Some(0));
    let first = work(vec![ApplyBatch { batch, waiting }]);
    let stopped = bench.partition.apply(first).expect("it passes by itself");
    assert_eq!((stopped.index, stopped.outcomes.len()), (2, 0));
    let rest = stopped.rest.expect("what is to be tried again");
    assert!(bench.partition.jobs(true).flush.is_none(), "nothing is frozen amid a batch");
    let again = bench.partition.apply(rest).expect("it passes by itself").rest;
    bench.disk.limit_descriptors(None);
    let done = bench.partition.apply(again.expect("still none")).expect("descriptors are back");
    assert!(done.rest.is_none());
    let revisions: Vec<_> = done
        .outcomes
        .iter()
        .map(|(request, outcome, at)| (*request, outcome.revision, *at))
        .collect();
    assert_eq!(revisions, [(RequestId(3), 3, stamp), (RequestId(4), 4, stamp)]);
    assert!(done.outcomes.iter().all(|(_, outcome, _)| outcome.conditions_met));
    assert_eq!(bench.get(b"a").unwrap(), "new");
    assert!(bench.partition.jobs(true).flush.is_some(), "the batch has ended");
}

/// A kind of command that no program writes.
fn unknown() -> Bytes {
    Bytes::from_static(&[0x7a, 0x00])
}

/// A command that changes nothing.
fn nothing() -> Bytes {
    encode_command(&write(None, vec![], vec![]))
}

fn awaited(index: u64, command: Bytes, request: u64) -> ApplyBatch {
    let time = BatchTime { stamp: Stamp(index), ..BatchTime::default() };
    let batch = Batch::encode(PartitionId(1), BatchKind::Commands, 1, index, time, &[command]);
    ApplyBatch { batch, waiting: vec![RequestId(request)] }
}

fn work(batches: Vec<ApplyBatch>) -> ApplyWork {
    ApplyWork { replica: KEY, batches }
}

#[test]
fn a_restart_finds_what_was_flushed_with_the_state_that_belongs_to_it() {
    let mut bench = Bench::new();
    let session = bench.apply_one(register()).revision;
    bench.apply_one(write(Some((session, 1)), vec![], vec![put("k", "v")]));
    bench.flush();
    let before = bench.contents();
    bench.apply_one(write(Some((session, 2)), vec![], vec![put("lost", "unflushed")]));

    let Bench { disk, store, partition, .. } = bench;
    drop((store, partition));
    disk.crash(Crash::LoseUnsynced);
    let mut opened = Store::open(disk, Path::new("node"), StoreOptions::default()).unwrap();
    let (partition, restored) = restore(&mut opened);
    assert_eq!(contents(&partition), before);
    assert_eq!(restored.applied, (2, 1));
}

/// The first replica of a store that was just opened.
fn restore(opened: &mut Opened) -> (ReplicaData, RestoredReplica) {
    let found = opened.replicas.remove(0);
    replicas::restore(found, &opened.reader, &mut u64::MAX.clone(), 1).unwrap()
}

/// Whatever is in the store, opened anew after a power loss.
fn after_power_loss(bench: Bench) -> ReplicaData {
    let Bench { disk, store, partition, .. } = bench;
    drop((store, partition));
    disk.crash(Crash::LoseUnsynced);
    let mut opened = Store::open(disk, Path::new("node"), StoreOptions::default()).unwrap();
    restore(&mut opened).0
}

#[test]
fn a_restart_finds_every_session_as_it_was_at_the_position_of_its_tables() {
    let mut bench = Bench::new();
    let first = bench.apply_one(register()).revision;
    let second = bench.apply_one(register()).revision;
    bench.apply_one(write(Some((first, 1)), vec![], vec![put("k", "v")]));
    bench.flush();
    // Only one of them has changed since the flush before.
    bench.apply_one(write(Some((second, 1)), vec![], vec![delete("none")]));
    bench.flush();
    let (.., sessions) = bench.contents();
    assert_eq!(sessions.iter().map(|s| s.outcomes.len()).collect::<Vec<_>>(), [1, 1]);
    bench.apply_one(write(Some((first, 2)), vec![], vec![put("lost", "unflushed")]));
    let (.., found) = contents(&after_power_loss(bench));
    assert_eq!(found, sessions);
}

#[test]
fn a_session_that_was_evicted_is_gone_after_a_restart_too() {
    let mut bench = Bench::new();
    let first = bench.apply_one(register()).revision;
    bench.flush();
    let many = vec![register(); SESSION_BYTES / 192];
    bench.apply(&many);
    bench.flush();
    let (.., sessions) = bench.contents();
    assert!(sessions.iter().all(|session| session.id != first), "it is evicted");
    let (.., found) = contents(&after_power_loss(bench));
    assert_eq!(found, sessions);
}

#[test]
fn sessions_do_not_make_the_state_block_grow() {
    let mut bench = Bench::new();
    bench.apply_one(register());
    let (_, before, _) = bench.contents();
    bench.apply(&vec![register(); 5_000]);
    let (_, after, sessions) = bench.contents();
    assert_eq!(after.len(), before.len());
    assert!(sessions.len() > 4_000 && after.len() < 4 << 10);
    assert!(bench.partition.session_bytes() <= SESSION_BYTES as u64);
}

#[test]
fn a_delete_of_a_missing_key_writes_nothing() {
    let mut bench = Bench::new();
    let outcomes = bench.apply(&[
        write(None, vec![], vec![delete("none")]),
        write(None, vec![], vec![delete("none"), delete("neither")]),
        write(None, vec![], vec![put("k", "v"), delete("k")]),
    ]);
    assert!(outcomes.iter().all(|outcome| outcome.conditions_met && !outcome.existed));
    bench.flush();
    assert!(bench.tables().is_empty(), "a tombstone was written");
}

#[test]
fn what_is_applied_holds_no_batch_in_memory() {
    let mut bench = Bench::new();
    let session = bench.apply_one(register()).revision;
    let value = "v".repeat(1_024);
    // Of a hundred compare-and-sets one succeeds.
    let set = |sequence: u64| {
        let exists = sequence != 50;
        let condition = vec![when("k", Test::Exists(exists))];
        encode_command(&write(Some((session, sequence)), condition, vec![put("k", &value)]))
    };
    let commands: Vec<Bytes> = (1..=50).map(set).collect();
    let time = BatchTime { stamp: Stamp(2), ..BatchTime::default() };
    let batch = Batch::encode(PartitionId(1), BatchKind::Commands, 1, 2, time, &commands);
    let bytes = batch.encoded.clone();
    let work = work(vec![ApplyBatch { batch, waiting: Vec::new() }]);
    bench.partition.apply(work).unwrap();
    assert_eq!(bench.get(b"k"), Some(Bytes::from(value)));
    assert!(bytes.is_unique(), "something of the batch is held");
}

#[test]
fn an_installed_snapshot_equals_its_source_and_an_older_one_is_dropped() {
    let mut source = Bench::new();
    let session = source.apply_one(register()).revision;
    source.apply_one(write(Some((session, 1)), vec![], vec![put("k", "v")]));
    for number in 0..100 {
        source.apply_one(write(None, vec![], vec![put(&format!("k{number}"), "v")]));
    }
    source.apply_one(write(None, vec![], vec![delete("k7")]));

    let target = Bench::new();
    let installed = install(&source, &target).unwrap();
    assert_eq!(installed, source.partition.applied());
    assert_eq!(target.contents(), source.contents());

    let older = Bench::new();
    assert_eq!(install(&older, &target).unwrap(), installed);
    assert_eq!(target.contents(), source.contents());
}

#[test]
fn the_state_of_another_partition_is_never_installed() {
    let mut source = Bench::owning(Descriptor { id: 2, ..descriptor(b"", b"") });
    source.apply_one(write(None, vec![], vec![put("k", "v")]));
    let target = Bench::new();
    let (before, tables) = (target.contents(), target.tables());
    let refused = install(&source, &target).unwrap_err();
    assert!(refused.to_string().contains("holds the state of 2"), "{refused}");
    target.store.delete_obsolete_files().unwrap();
    assert_eq!(target.contents(), before);
    assert_eq!(target.tables(), tables, "its tables were left behind");
}

fn install(source: &Bench, target: &Bench) -> Result<Applied, StorageError> {
    let (tables, info) = target.receive(source);
    let SnapshotInfo { applied, state, .. } = info;
    target.partition.install_snapshot(&target.store, tables, applied, state)
}
