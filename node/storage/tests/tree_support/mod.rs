//! A tree with a stand-in for the Store: it keeps the image a manifest would hold,
//! publishes and installs changes, and deletes obsolete files.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use doug_sim_disk::{Crash, SimDisk};
use doug_storage::cache::{BlockCache, TableFiles};
use doug_storage::disk::Disk;
use doug_storage::table::{FileIds, ObsoleteFiles, Slot, TableBuilder};
use doug_storage::tree::{
    Applied, Entry, KeyClass, Op, Progress, ScanRange, SnapshotTables, Tree, TreeChange,
    TreeContext, TreeImage, TreeOptions, View, orphans,
};

/// A tree and what a Store would know of it.
pub struct Keeper {
    pub disk: SimDisk,
    pub tree: Tree,
    pub image: TreeImage,
    pub applied: Applied,
    pub state: Bytes,
    pub ids: FileIds,
    /// As many of the newest revisions stay readable even unpinned.
    history: u64,
    options: TreeOptions,
}

pub fn dir() -> PathBuf {
    PathBuf::from("/data/p1")
}

pub fn context(disk: &SimDisk, ids: &FileIds, options: &TreeOptions) -> TreeContext {
    TreeContext {
        disk: Arc::new(disk.clone()),
        files: TableFiles::new(Arc::new(disk.clone()), 8),
        dir: dir(),
        cache: BlockCache::new(64 << 10, 16 << 10),
        ids: ids.clone(),
        obsolete: ObsoleteFiles::default(),
        salt: 5,
        options: options.clone(),
    }
}

impl Keeper {
    /// A whole snapshot in one table, as if it had just arrived.
    pub fn arrived(&self, versions: &[(&[u8], u64, &[u8])], applied: Applied) -> SnapshotTables {
        let path = dir().join("arrived.sst");
        let options = self.options.table.clone();
        let mut builder = TableBuilder::create(&self.disk, &path, 9, options).expect("new");
        for (key, revision, value) in versions {
            let (key, slot) = (KeyClass::User.tree_key(key), Slot::value(value.to_vec()));
            builder.add(&key, *revision, &slot).expect("works");
        }
        builder.finish().expect("works");
        let context = TreeContext {
            obsolete: self.tree.obsolete_files(),
            ..context(&self.disk, &self.ids, &self.options)
        };
        let (floor, files) = (applied.index, [(path.clone(), 1)]);
        let tables = doug_storage::tree::adopt(&context, &files, floor, applied.index)
            .expect("a sound table");
        self.disk.remove(&path).expect("it was linked");
        tables
    }

    /// A tree that keeps no history unpinned.
    pub fn new(options: TreeOptions) -> Self {
        Self::keeping(0, options)
    }

    /// A tree that keeps so many of its newest revisions.
    pub fn keeping(history: u64, options: TreeOptions) -> Self {
        let disk = SimDisk::new(1);
        let ids = FileIds::starting_at(1);
        let image = TreeImage::default();
        let tree = Tree::open(context(&disk, &ids, &options), &image, 0).expect("an empty tree");
        let (applied, state) = (Applied::default(), Bytes::new());
        Self { disk, tree, image, applied, state, ids, history, options }
    }

    /// The machine loses power; the tree opens from what the manifest holds. What was
    /// applied above [`Self::applied`] is gone until it is applied again.
    pub fn lose_power(&mut self) {
        self.disk.crash(Crash::LoseUnsynced);
        let context = context(&self.disk, &self.ids, &self.options);
        self.tree = Tree::open(context, &self.image, self.applied.index).expect("opens again");
        let live = |file| self.image.tables.contains_key(&file);
        for path in orphans(&self.disk, &dir(), live).expect("lists") {
            self.disk.remove(&path).expect("an orphan is a file");
        }
    }

    pub fn put(&mut self, revision: u64, key: &str, value: &str) {
        self.tree.apply(revision, &[put(key, value)]);
    }

    pub fn delete(&mut self, revision: u64, key: &str) {
        self.tree.apply(revision, &[delete(key)]);
    }

    /// Publishes and installs a change, or discards it if it does not fit any more.
    pub fn settle(&mut self, change: TreeChange) {
        if !self.tree.accepts(&change) {
            change.discard();
            return;
        }
        self.image.apply(change.edit()).expect("the edit fits the image");
        if let Some((applied, state)) = change.applied() {
            self.applied = applied;
            self.state = state;
        }
        self.tree.install(change);
        assert_eq!(self.tree.image(), self.image);
    }

    pub fn rotate(&mut self) {
        let index = self.tree.revision();
        let state = Bytes::from(format!("state at {index}"));
        self.tree.rotate(Applied { index, term: 1 }, state, &[]);
    }

    /// Flushes everything.
    pub fn flush(&mut self) {
        self.rotate();
        self.raise_floor();
        while let Some(mut job) = self.tree.flush_job() {
            let change = finish(|| job.step(1 << 20));
            drop(job);
            self.settle(change);
        }
    }

    /// Lets go of the revisions that are no history any more.
    pub fn raise_floor(&mut self) {
        self.tree.raise_floor(self.tree.revision().saturating_sub(self.history));
    }

    /// Compacts until no level is full.
    pub fn compact(&mut self) {
        self.raise_floor();
        while let Some(mut job) = self.tree.compaction_job() {
            let change = finish(|| job.step(1 << 20));
            drop(job);
            self.settle(change);
        }
    }

    /// Deletes what nobody reads any more, as the Store would.
    pub fn delete_obsolete(&mut self) -> usize {
        let files = self.tree.obsolete_files().drain();
        for file in &files {
            assert!(!self.image.tables.contains_key(file), "{file} is live");
            let path = self.tree.table_path(*file);
            self.disk.remove(&path).expect("a file reported once exists");
        }
        files.len()
    }

    pub fn files(&self) -> Vec<String> {
        self.disk.list(&dir().join("sst")).expect("exists")
    }

    pub fn get(&self, key: &str) -> Option<String> {
        get(&self.tree.view(), key, None)
    }

    pub fn entries(&self) -> u64 {
        self.tree.level_stats().iter().map(|l| l.entries).sum()
    }
}

/// Steps a job to its end.
pub fn finish(mut step: impl FnMut() -> doug_storage::Result<Progress>) -> TreeChange {
    loop {
        if let Progress::Done(change) = step().expect("the disk works") {
            return change;
        }
    }
}

pub fn put(key: &str, value: &str) -> Op {
    Op::put(KeyClass::User, key.to_owned(), value.to_owned())
}

pub fn delete(key: &str) -> Op {
    Op::delete(KeyClass::User, key.to_owned())
}

pub fn get(view: &View, key: &str, at: Option<u64>) -> Option<String> {
    let found = view.get(key.as_bytes(), at).expect("readable");
    found.map(|v| String::from_utf8(v.value.to_vec()).expect("text"))
}

pub fn range(start: &str, end: Option<&str>, reverse: bool) -> ScanRange {
    ScanRange {
        start: Bytes::copy_from_slice(start.as_bytes()),
        end: end.map(|end| Bytes::copy_from_slice(end.as_bytes())),
        reverse,
    }
}

/// The keys a scan yields.
pub fn keys(view: &View, range: ScanRange, at: Option<u64>) -> Vec<String> {
    let entries = scan(view, range, at);
    let key = |e: &Entry| String::from_utf8(e.key.to_vec()).expect("text");
    entries.iter().map(key).collect()
}

pub fn scan(view: &View, range: ScanRange, at: Option<u64>) -> Vec<Entry> {
    let scan = view.scan(range, at).expect("readable");
    scan.collect::<Result<_, _>>().expect("the disk works")
}

/// The bytes of a file.
pub fn read_file(disk: &SimDisk, path: &Path) -> Vec<u8> {
    let file = disk.open(path, doug_storage::disk::OpenMode::Read).expect("exists");
    let mut bytes = vec![0; file.len().expect("has a length") as usize];
    file.read_exact_at(&mut bytes, 0).expect("whole");
    bytes
}

/// With [`Keeper::new`], every compaction collects all it may.
pub fn forgetful() -> TreeOptions {
    TreeOptions::tiny()
}

/// Three flushed tables of the same keys, enough for level 0 to be full.
pub fn three_generations(keeper: &mut Keeper) {
    for generation in 0..3u64 {
        for i in 0..20 {
            let revision = generation * 20 + i + 1;
            keeper.put(revision, &format!("k{i:02}"), &format!("v{revision}"));
        }
        keeper.flush();
    }
}

pub fn system(key: &str, value: &str) -> Op {
    Op::put(KeyClass::System, key.to_owned(), value.to_owned())
}

pub fn system_keys(keeper: &Keeper) -> Vec<(String, String)> {
    let view = keeper.tree.view();
    let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let scan = view.scan_system(ScanRange::all()).unwrap().map(Result::unwrap);
    scan.map(|entry| (text(entry.key), text(entry.value))).collect()
}
