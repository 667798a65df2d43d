//! Any sequence of appends, flushes, retirements and crashes, against plain maps.

mod log_support;

use std::collections::BTreeMap;
use std::sync::Arc;

use doug_sim_disk::{Crash, SimDisk};
use doug_storage::log::{self, KnownReplicas, OpenedLog, Record};
use doug_storage::{Applied, ReplicaKey};
use log_support::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Append {
        key: ReplicaKey,
        count: u32,
        size: usize,
    },
    /// Replaces the last batches, in a new term.
    Replace {
        key: ReplicaKey,
        batches: usize,
        size: usize,
    },
    HardState {
        key: ReplicaKey,
        vote: Option<u64>,
    },
    Sync,
    /// Everything durable but the last `keep` batches is in the tree now.
    Flush {
        key: ReplicaKey,
        keep: usize,
    },
    Maintain,
    Mark,
    Crash {
        crash: Crash,
        seed: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || prop_oneof![Just(A), Just(B)];
    let crash = prop_oneof![Just(Crash::Process), Just(Crash::LoseUnsynced), Just(Crash::KeepSome)];
    let step = prop_oneof![
        6 => (key(), 1..4u32, 0..300usize).prop_map(|(key, count, size)| Step::Append { key, count, size }),
        2 => (key(), 1..4usize, 0..300usize).prop_map(|(key, batches, size)| Step::Replace { key, batches, size }),
        2 => (key(), prop::option::of(0..9u64)).prop_map(|(key, vote)| Step::HardState { key, vote }),
        5 => Just(Step::Sync),
        3 => (key(), 0..4usize).prop_map(|(key, keep)| Step::Flush { key, keep }),
        4 => Just(Step::Maintain),
        1 => Just(Step::Mark),
        2 => (crash, any::<u64>()).prop_map(|(crash, seed)| Step::Crash { crash, seed }),
    ];
    prop::collection::vec(step, 1..120)
}

/// The log beside the model: what is durable for sure, and what was issued since.
struct Bench {
    disk: SimDisk,
    log: OpenedLog,
    durable: Model,
    issued: Vec<Record>,
    applied: BTreeMap<ReplicaKey, Applied>,
    term: u64,
}

impl Bench {
    fn new() -> Self {
        let disk = SimDisk::new(5);
        let log = open(&disk, options());
        let applied = BTreeMap::from([(A, Applied::default()), (B, Applied::default())]);
        Self { disk, log, durable: Model::default(), issued: Vec::new(), applied, term: 1 }
    }

    fn now(&self) -> Model {
        let mut model = self.durable.clone();
        self.issued.iter().for_each(|record| model.apply(record));
        model
    }

    fn append(&mut self, record: Record) {
        match self.log.writer.append(record.clone()) {
            Ok(_) => self.issued.push(record),
            Err(error) => assert!(error.is_busy(), "{error}"),
        }
    }

    fn synced(&mut self) {
        self.durable = self.now();
        self.issued.clear();
    }

    fn last(&self, key: ReplicaKey) -> u64 {
        let model = self.now();
        let last =
            model.replicas.get(&key).and_then(|r| r.batches.values().next_back().map(|b| b.0));
        last.unwrap_or(0).max(self.applied[&key].index)
    }

    fn replace(&mut self, key: ReplicaKey, batches: usize, size: usize) {
        let floor = self.applied[&key].index;
        let model = self.now();
        let Some(replica) = model.replicas.get(&key) else { return };
        let Some(&base) = replica.batches.keys().filter(|b| **b > floor).rev().nth(batches - 1)
        else {
            return;
        };
        self.term += 1;
        self.append(batch(key, base, 1, self.term, size));
    }

    fn flush(&mut self, key: ReplicaKey, keep: usize) {
        // Applied are only committed batches, and committed ones are never replaced.
        if !self.issued.is_empty() {
            return;
        }
        let Some(replica) = self.durable.replicas.get(&key) else { return };
        let Some(&(index, term, _)) = replica.batches.values().rev().nth(keep) else { return };
        if index <= self.applied[&key].index {
            return;
        }
        self.applied.insert(key, Applied { index, term });
        self.log.reader.set_flushed(key, Applied { index, term });
        self.log.reader.set_floor(key, index);
    }

    fn reopen(&mut self) {
        let known = KnownReplicas { live: self.applied.clone(), ..KnownReplicas::default() };
        self.log = log::open(Arc::new(self.disk.clone()), &dir(), options(), &known)
            .expect("the log opens");
        let mut model = self.durable.clone();
        let mut fits = model.agrees(&self.log, &self.applied);
        for record in std::mem::take(&mut self.issued) {
            if fits {
                break;
            }
            model.apply(&record);
            fits = model.agrees(&self.log, &self.applied);
        }
        assert!(fits, "recovered {:?}, acknowledged {:?}", self.log.replicas, self.durable);
        self.durable = model;
    }

    fn check_reads(&self) {
        let model = self.now();
        for (key, replica) in &model.replicas {
            let floor = self.applied[key].index;
            for (base, (last, _, data)) in replica.batches.iter().filter(|(base, _)| **base > floor)
            {
                let found = self.log.reader.read(*key, *base, *last).expect("it is in the log");
                assert_eq!(found, std::slice::from_ref(data));
            }
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Append { key, count, size } => {
                let base = self.last(key) + 1;
                self.append(batch(key, base, count, self.term, size));
            }
            Step::Replace { key, batches, size } => self.replace(key, batches, size),
            Step::HardState { key, vote } => {
                self.term += 1;
                self.append(Record::HardState { replica: key, term: self.term, vote });
            }
            Step::Sync => {
                self.log.writer.sync().expect("the disk works");
                self.synced();
            }
            Step::Flush { key, keep } => self.flush(key, keep),
            Step::Maintain => {
                let before = self.log.writer.durable();
                self.log.writer.maintain().expect("the disk works");
                if self.log.writer.durable() > before {
                    self.synced();
                }
            }
            Step::Mark => {
                self.log.writer.mark().expect("the disk works");
            }
            Step::Crash { crash, seed } => {
                self.disk.reseed(seed);
                self.disk.crash(crash);
                self.reopen();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_log_remembers_what_it_acknowledged_and_nothing_that_never_was(steps in steps()) {
        let mut bench = Bench::new();
        for step in steps {
            bench.step(step);
        }
        bench.check_reads();
        bench.log.writer.sync().expect("the disk works");
        bench.synced();
        bench.disk.crash(Crash::LoseUnsynced);
        bench.reopen();
        bench.check_reads();
    }
}
