//! Keys that expire: by the clock of the batch that says so, never early, and each once.

mod support;

use bytes::Bytes;
use doug_node::apply::{DUE_BYTES, DUE_ENTRIES, Machine, RecentMemory};
use doug_node::work::{ApplyBatch, ApplyWork, encode_command};
use doug_proto::limits;
use doug_proto::v1::transact_operation::Operation;
use doug_proto::v1::{self, TransactOperation, command};
use doug_raft::{Batch, BatchKind, BatchTime, Clock, PartitionId, Stamp};
use std::sync::Arc;
use std::time::Duration;
use support::{Bench, KEY};

/// A partition whose batches have the clocks that a test says.
struct Timed {
    bench: Bench,
    next: u64,
    /// How late the keys were that have expired.
    late: Vec<Duration>,
    /// What whoever watches is told of the last command.
    told: Vec<(Bytes, bool)>,
}

fn step(operation: Operation) -> TransactOperation {
    TransactOperation { operation: Some(operation) }
}

fn put(key: &str, value: &str, ttl_milliseconds: Option<u64>) -> TransactOperation {
    let (key, value) = (key.to_owned().into(), value.to_owned().into());
    step(Operation::Put(v1::PutOperation { key, value, ttl_milliseconds }))
}

fn increment(key: &'static str) -> TransactOperation {
    step(Operation::Increment(v1::IncrementOperation { key: key.into(), by: 1 }))
}

impl Timed {
    fn new() -> Self {
        Self { bench: Bench::new(), next: 1, late: Vec::new(), told: Vec::new() }
    }

    /// Applies a command in a batch of this clock. Returns when a key may be due next.
    fn apply(&mut self, clock: u64, command: command::Command) -> Option<u64> {
        let command = encode_command(&v1::Command { command: Some(command) });
        // Stamps may be far ahead of the clock.
        let stamp = Stamp((1 << 40) + self.next);
        let time = BatchTime { clock: Clock(clock), stamp };
        let batch =
            Batch::encode(PartitionId(1), BatchKind::Commands, 1, self.next, time, &[command]);
        self.next = batch.last() + 1;
        let batches = vec![ApplyBatch { batch, waiting: Vec::new() }];
        let applied = self.bench.partition.apply(ApplyWork { replica: KEY, batches }).unwrap();
        self.late.extend(applied.lateness);
        let told = applied.changes.into_iter().map(|change| (change.key, change.value.is_some()));
        self.told = told.collect();
        applied.next_expiry.map(|clock| clock.0)
    }

    fn write(&mut self, clock: u64, then: Vec<TransactOperation>) -> Option<u64> {
        let write = v1::WriteCommand { then, ..Default::default() };
        self.apply(clock, command::Command::Write(write))
    }

    fn expire(&mut self, clock: u64) -> Option<u64> {
        self.apply(clock, command::Command::Expire(v1::ExpireCommand {}))
    }

    fn has(&self, key: &str) -> bool {
        self.bench.get(key.as_bytes()).is_some()
    }
}

#[test]
fn a_key_expires_by_the_clock_of_the_command_and_not_a_millisecond_before() {
    let mut partition = Timed::new();
    assert_eq!(partition.write(1_000, vec![put("k", "v", Some(500))]), Some(1_500));
    assert_eq!(partition.expire(1_499), Some(1_500));
    assert!(partition.has("k"), "a proposer whose clock was ahead ends nothing");
    assert_eq!(partition.expire(1_500), None);
    assert!(!partition.has("k"));
}

#[test]
fn until_the_command_is_applied_the_key_reads_as_present() {
    let mut partition = Timed::new();
    partition.write(1_000, vec![put("k", "v", Some(500))]);
    partition.write(9_000, vec![put("other", "v", None)]);
    assert!(partition.has("k"));
}

#[test]
fn a_put_that_says_no_time_clears_it_and_an_increment_keeps_it() {
    let mut partition = Timed::new();
    partition.write(1_000, vec![put("cleared", "1", Some(500)), put("kept", "1", Some(500))]);
    partition.write(1_100, vec![put("cleared", "1", None), increment("kept")]);
    assert_eq!(partition.expire(1_500), None);
    assert!(partition.has("cleared") && !partition.has("kept"));
}

#[test]
fn a_key_that_was_put_again_or_deleted_lives_by_its_last_word() {
    let mut partition = Timed::new();
    partition.write(1_000, vec![put("later", "1", Some(500)), put("gone", "1", Some(500))]);
    let delete = step(Operation::Delete(v1::DeleteOperation { key: "gone".into() }));
    partition.write(1_100, vec![put("later", "2", Some(900)), delete]);
    partition.write(1_200, vec![put("gone", "again", None)]);
    assert_eq!(partition.expire(1_999), Some(2_000));
    assert!(partition.has("later") && partition.has("gone"));
    assert_eq!(partition.expire(2_000), None);
    assert!(!partition.has("later") && partition.has("gone"));
}

#[test]
fn one_command_ends_only_so_many_keys_the_earliest_first() {
    let mut partition = Timed::new();
    let keys: Vec<_> = (0..=DUE_ENTRIES).map(|number| format!("k{number:05}")).collect();
    let puts = keys.iter().rev().zip(1..).map(|(key, ttl)| put(key, "v", Some(ttl)));
    partition.write(0, puts.collect());
    let last = DUE_ENTRIES as u64 + 1;
    assert_eq!(partition.expire(1 << 30), Some(last), "one is left, and due");
    assert!(partition.has("k00000") && !partition.has("k00001"));
    assert_eq!(partition.expire(1 << 30), None);
    assert!(!partition.has("k00000"));
}

#[test]
fn one_command_reads_only_so_many_bytes_of_values() {
    let mut partition = Timed::new();
    let large = "v".repeat(limits::VALUE_BYTES);
    let fit = DUE_BYTES / large.len();
    for number in 0..=fit {
        partition.write(0, vec![put(&format!("k{number}"), &large, Some(1 + number as u64))]);
        partition.bench.flush();
    }
    assert_eq!(partition.expire(1 << 30), Some(1 + fit as u64), "the last is left, and due");
    assert_eq!(partition.expire(1 << 30), None);
    assert!(!partition.has(&format!("k{fit}")));
}

#[test]
fn how_late_each_key_is_is_told_once() {
    let mut partition = Timed::new();
    partition.write(1_000, vec![put("k", "1", Some(500)), put("l", "1", Some(900))]);
    partition.write(1_100, vec![put("l", "2", None)]);
    partition.expire(1_530);
    assert_eq!(partition.late, [Duration::from_millis(30)]);
    partition.expire(2_000);
    assert_eq!(partition.late, [Duration::from_millis(30)], "what was put again is not late");
}

#[test]
fn who_watches_is_told_of_keys_that_expire_in_order_and_of_no_index() {
    let mut partition = Timed::new();
    partition.bench.partition.keep_changes(&Arc::new(RecentMemory::new(1 << 20)));
    partition.write(1_000, vec![put("a", "1", Some(90)), put("b", "1", Some(10))]);
    let (a, b) = (Bytes::from_static(b"a"), Bytes::from_static(b"b"));
    assert_eq!(partition.told, [(a.clone(), true), (b.clone(), true)]);
    partition.expire(1_100);
    assert_eq!(partition.told, [(a, false), (b, false)]);
}

#[test]
fn a_replica_that_starts_anew_knows_when_the_next_key_is_due() {
    let mut partition = Timed::new();
    partition.write(1_000, vec![put("k", "v", Some(500)), put("soon", "v", Some(10))]);
    partition.expire(1_010);
    partition.bench.flush();
    let other = Bench::new();
    let (tables, info) = other.receive(&partition.bench);
    let machine = Machine::restore(&info.state, &tables.view()).unwrap();
    assert_eq!(machine.next_expiry(), Some(Clock(1_500)));
    tables.discard();
}

#[test]
fn what_is_deleted_by_a_transaction_that_put_it_is_not_indexed() {
    let mut partition = Timed::new();
    let delete = step(Operation::Delete(v1::DeleteOperation { key: "k".into() }));
    assert_eq!(partition.write(1_000, vec![put("k", "v", Some(500)), delete]), None);
    assert_eq!(partition.bench.get(b"k"), None::<Bytes>);
}
