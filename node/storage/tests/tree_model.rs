//! The tree against a model: a map that remembers every version.
//!
//! Random commands, rotations, jobs stepped in between each other, pins, views, power
//! loss and snapshots; after each, random reads at random readable revisions must agree.

mod tree_support;

use std::collections::BTreeMap;

use bytes::Bytes;
use doug_storage::compaction::{CompactionJob, Surveyed};
use doug_storage::table::Compression;
use doug_storage::table::Slot;
use doug_storage::tree::{
    Applied, Entry, FlushJob, KeyClass, Op, Pin, Progress, ScanRange, TreeOptions, View,
};
use proptest::prelude::*;
use tree_support::{Keeper, scan};

/// Every version of every key, by key and revision.
type Model = BTreeMap<Bytes, BTreeMap<u64, Option<Bytes>>>;

#[derive(Clone, Debug)]
enum Action {
    /// Changes (key, value length; none deletes) as one command, after skipping some revisions.
    Apply(u8, Vec<(u8, Option<u16>)>),
    Rotate,
    /// Writes some keys, starting with this one, then flushes and compacts everything.
    Churn(u8),
    StepFlush(u16),
    StepCompaction(u16),
    /// Looks at a table as on a full volume; the job is then stepped as a compaction.
    Survey(u16),
    DropJobs,
    Pin(u8),
    Unpin,
    TakeView,
    DropView,
    DeleteObsolete,
    LosePower,
    Snapshot,
    /// Read at a revision chosen by the first number, a range by the keys.
    Read(u8, u8, u8, bool),
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let change = (0..40u8, prop::option::weighted(0.8, 0..300u16));
    let changes = prop::collection::vec(change, 0..8);
    let action = prop_oneof![
        30 => (0..3u8, changes).prop_map(|(skip, changes)| Action::Apply(skip, changes)),
        6 => Just(Action::Rotate),
        3 => (0..40u8).prop_map(Action::Churn),
        20 => (1..4000u16).prop_map(Action::StepFlush),
        20 => (1..4000u16).prop_map(Action::StepCompaction),
        6 => (1..4000u16).prop_map(Action::Survey),
        1 => Just(Action::DropJobs),
        3 => any::<u8>().prop_map(Action::Pin),
        3 => Just(Action::Unpin),
        2 => Just(Action::TakeView),
        2 => Just(Action::DropView),
        2 => Just(Action::DeleteObsolete),
        1 => Just(Action::LosePower),
        1 => Just(Action::Snapshot),
        12 => (any::<u8>(), 0..42u8, 0..42u8, any::<bool>())
            .prop_map(|(at, start, end, reverse)| Action::Read(at, start, end, reverse)),
    ];
    prop::collection::vec(action, 1..250)
}

/// Levels so small that a few kilobytes fill them all.
fn options() -> TreeOptions {
    let mut options = TreeOptions::tiny();
    options.table.compression = Compression::None;
    options.table_bytes = 1 << 10;
    options.base_level_bytes = 2 << 10;
    options.level_ratio = 2;
    options
}

struct Run {
    keeper: Keeper,
    model: Model,
    commands: Vec<(u64, Vec<Op>)>,
    flush: Option<FlushJob>,
    compaction: Option<CompactionJob>,
    pins: Vec<Pin>,
    views: Vec<View>,
}

impl Run {
    fn new() -> Self {
        Self {
            keeper: Keeper::keeping(8, options()),
            model: Model::new(),
            commands: Vec::new(),
            flush: None,
            compaction: None,
            pins: Vec::new(),
            views: Vec::new(),
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Apply(skip, changes) => self.apply(skip, changes),
            Action::Rotate => self.keeper.rotate(),
            Action::Churn(key) => self.churn(key),
            Action::StepFlush(budget) => self.step_flush(budget.into()),
            Action::StepCompaction(budget) => self.step_compaction(budget.into()),
            Action::Survey(budget) => self.survey(budget.into()),
            Action::DropJobs => {
                self.flush = None;
                self.compaction = None;
            }
            Action::Pin(choice) => {
                let view = self.keeper.tree.view();
                let at = revision_in(&view, choice);
                self.pins.extend(self.keeper.tree.reader().pin(at));
                self.pins.push(self.keeper.tree.reader().pin_newest());
            }
            Action::Unpin => {
                self.pins.pop();
            }
            Action::TakeView => self.views.push(self.keeper.tree.view()),
            Action::DropView => {
                self.views.pop();
            }
            Action::DeleteObsolete => {
                self.keeper.delete_obsolete();
            }
            Action::LosePower => self.lose_power(),
            Action::Snapshot => self.snapshot(),
            Action::Read(at, start, end, reverse) => self.read(at, start, end, reverse),
        }
    }

    fn apply(&mut self, skip: u8, changes: Vec<(u8, Option<u16>)>) {
        let revision = self.keeper.tree.revision() + 1 + u64::from(skip);
        let op = |(key, len): (u8, Option<u16>)| match len {
            Some(len) => Op::put(KeyClass::User, key_of(key), value_of(revision, len)),
            None => Op::delete(KeyClass::User, key_of(key)),
        };
        let ops: Vec<Op> = changes.into_iter().map(op).collect();
        for op in &ops {
            let value = match &op.slot {
                Slot::Value { value, .. } => Some(value.clone()),
                Slot::Tombstone { .. } => None,
            };
            let versions = self.model.entry(op.key.clone()).or_default();
            versions.insert(revision, value);
        }
        self.keeper.tree.apply(revision, &ops);
        self.commands.push((revision, ops));
    }

    /// Jobs under way are given up, so that everything sinks as deep as it should.
    fn churn(&mut self, first: u8) {
        self.flush = None;
        self.compaction = None;
        for i in 0..10 {
            let len = (i != 7).then_some(250);
            self.apply(0, vec![((first + i) % 40, len)]);
        }
        self.keeper.flush();
        self.keeper.compact();
    }

    fn step_flush(&mut self, budget: usize) {
        if self.flush.is_none() {
            self.keeper.raise_floor();
            self.flush = self.keeper.tree.flush_job();
        }
        let Some(job) = &mut self.flush else { return };
        if let Progress::Done(change) = job.step(budget).expect("the disk works") {
            self.flush = None;
            self.keeper.settle(change);
        }
    }

    fn step_compaction(&mut self, budget: usize) {
        if self.compaction.is_none() {
            self.keeper.raise_floor();
            self.compaction = self.keeper.tree.compaction_job();
        }
        let Some(job) = &mut self.compaction else {
            return;
        };
        if let Progress::Done(change) = job.step(budget).expect("the disk works") {
            self.compaction = None;
            self.keeper.settle(change);
        }
    }

    /// Looks at one table, and begins to write it anew if that is worth while.
    fn survey(&mut self, budget: usize) {
        // One at a time; of one that a snapshot has made void only this test still knows.
        if self.compaction.is_some() {
            return;
        }
        let Some(mut survey) = self.keeper.tree.survey(0) else { return };
        loop {
            match survey.step(budget).expect("the disk works") {
                Surveyed::More(more) => survey = more,
                Surveyed::Worth(found) => {
                    self.compaction = Some(found.begin().expect("the disk works"));
                    return;
                }
                Surveyed::Vain => return,
            }
        }
    }

    /// Memtables, jobs, pins and views go; the log's commands are applied again.
    fn lose_power(&mut self) {
        self.flush = None;
        self.compaction = None;
        self.pins.clear();
        self.views.clear();
        self.keeper.lose_power();
        // Readable at once, before the log is applied again.
        self.read(255, 0, 41, false);
        for (revision, ops) in &self.commands {
            if *revision > self.keeper.applied.index {
                self.keeper.tree.apply(*revision, ops);
            }
        }
    }

    /// The tree is replaced by a snapshot of itself; jobs under way go on in vain.
    fn snapshot(&mut self) {
        let view = self.keeper.tree.view();
        let entries = scan(&view, ScanRange::all(), None);
        let versions = entries.iter().map(|e| (&e.key[..], e.revision, &e.value[..]));
        let applied = Applied { index: view.revision(), term: 1 };
        let versions: Vec<_> = versions.collect();
        if versions.is_empty() {
            return;
        }
        let tables = self.keeper.arrived(&versions, applied);
        let tree = &self.keeper.tree;
        let change = tree.snapshot_change(tables, applied, Bytes::new());
        self.keeper.settle(change);
        // Older revisions went with the tables replaced.
        self.pins.clear();
    }

    fn read(&self, at: u8, start: u8, end: u8, reverse: bool) {
        let current = self.keeper.tree.view();
        for view in self.views.iter().chain([&current]) {
            let at = revision_in(view, at);
            self.compare(view, at, start, end, reverse);
            self.compare(view, view.revision(), 0, 41, !reverse);
        }
        for pin in &self.pins {
            self.compare(&current, pin.revision(), start, end, reverse);
        }
    }

    fn compare(&self, view: &View, at: u64, start: u8, end: u8, reverse: bool) {
        let range =
            ScanRange { start: key_of(start), end: (end < 41).then(|| key_of(end)), reverse };
        let found = scan(view, range.clone(), Some(at));
        assert_eq!(found, expected(&self.model, &range, at), "{range:?} at {at}");
        for key in [start, end] {
            let found = view.get(&key_of(key), Some(at)).expect("readable");
            let found = found.map(|v| (v.revision, v.value));
            let expected = visible(&self.model, &key_of(key), at);
            assert_eq!(found, expected, "key {key} at {at}");
        }
    }
}

/// Keys of different lengths with long common prefixes; 0 is the shortest.
fn key_of(key: u8) -> Bytes {
    let text = match key % 3 {
        0 => format!("{key:02}"),
        1 => format!("{:02}/shared/prefix", key - 1),
        _ => format!("{:02}/shared/prefix/and/more", key - 2),
    };
    text.into()
}

fn value_of(revision: u64, len: u16) -> Bytes {
    let mut value = revision.to_string().into_bytes();
    // Some values are far greater than a block.
    let len = if len == 299 { 5000 } else { usize::from(len) };
    value.resize(len, b'.');
    value.into()
}

/// A revision the view can be read at.
fn revision_in(view: &View, choice: u8) -> u64 {
    let oldest = view.gc_floor();
    oldest + (view.revision() - oldest) * u64::from(choice) / 255
}

fn visible(model: &Model, key: &Bytes, at: u64) -> Option<(u64, Bytes)> {
    let (revision, value) = model.get(key)?.range(..=at).next_back()?;
    value.clone().map(|value| (*revision, value))
}

fn expected(model: &Model, range: &ScanRange, at: u64) -> Vec<Entry> {
    let inside =
        |key: &&Bytes| **key >= range.start && range.end.as_ref().is_none_or(|end| *key < end);
    let entry = |key: &Bytes| {
        visible(model, key, at).map(|(revision, value)| Entry { key: key.clone(), revision, value })
    };
    let mut entries: Vec<Entry> = model.keys().filter(inside).filter_map(entry).collect();
    if range.reverse {
        entries.reverse();
    }
    entries
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_tree_agrees_with_a_map_of_all_versions(actions in actions()) {
        let mut run = Run::new();
        for action in actions {
            run.act(action);
        }
        run.read(128, 0, 41, false);
        run.flush = None;
        run.compaction = None;
        run.keeper.flush();
        run.keeper.compact();
        run.read(255, 0, 41, true);

        // Nothing leaks: with the last reader gone, only live tables remain.
        run.views.clear();
        run.keeper.delete_obsolete();
        prop_assert_eq!(run.keeper.files().len(), run.keeper.image.tables.len());
    }
}

/// The random runs above must reach what they are meant to test.
#[test]
fn churning_fills_every_level() {
    let mut run = Run::new();
    for i in 0..20u8 {
        run.churn(i * 7 % 40);
        run.act(Action::Pin(255));
    }
    let levels = run.keeper.tree.level_stats();
    assert!(levels[1..].iter().all(|l| l.tables > 0), "{levels:?}");
    run.read(100, 0, 41, true);
}
