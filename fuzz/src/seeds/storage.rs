//! Files as the storage engine writes them.

use super::{Seed, seed};
use crate::targets::log::{dir as log_dir, known, options};
use crate::targets::manifest::dir as manifest_dir;
use crate::targets::tables::context;
use bytes::Bytes;
use doug_sim_disk::SimDisk;
use doug_storage::disk::Disk;
use doug_storage::log::{self, Record};
use doug_storage::manifest::{
    Change, Identity, Manifest, ManifestOptions, ManifestState, MapChange,
};
use doug_storage::table::TimedBatch;
use doug_storage::tree::{KeyClass, Op, Progress, TableMeta, Tree, TreeEdit, TreeImage};
use doug_storage::{Applied, ReplicaKey};
use std::sync::Arc;

pub fn seeds() -> Vec<Seed> {
    let manifest = manifest();
    vec![
        seed("log", "segments-of-two-starts", segments()),
        seed("table", "versions-and-tombstones", table(64)),
        seed("table", "one-version", table(1)),
        seed("manifest", "every-kind-of-change", manifest.0),
        seed("manifest", "the-file-current", manifest.1),
    ]
}

const A: ReplicaKey = ReplicaKey { partition: 1, replica: 1 };
const B: ReplicaKey = ReplicaKey { partition: 2, replica: 1 };

/// Written, synced, and opened once more.
fn segments() -> Vec<u8> {
    let disk = SimDisk::new(1);
    let open = || log::open(Arc::new(disk.clone()), &log_dir(), options(), &known());
    let mut opened = open().expect("an empty log");
    for record in [
        Record::HardState { replica: A, term: 1, vote: Some(1) },
        batch(A, 1, 2),
        batch(A, 3, 1),
        Record::Reset { replica: B, index: 2, term: 1 },
        batch(B, 3, 1),
        Record::HardState { replica: B, term: 2, vote: None },
    ] {
        opened.writer.append(record).expect("there is room");
        opened.writer.sync().expect("the disk works");
    }
    let mut opened = open().expect("just written");
    opened.writer.append(batch(A, 3, 2)).expect("there is room");
    opened.writer.sync().expect("the disk works");
    let files = disk.contents();
    let segments = files.iter().filter(|(path, _)| path.starts_with(log_dir()));
    let named = segments.filter(|(path, _)| !path.to_string_lossy().contains("free-"));
    // What lies behind the last record is zeros: they need not be kept.
    let trimmed = named.map(|(_, bytes)| {
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        bytes[..end.next_multiple_of(8).min(bytes.len())].to_vec()
    });
    trimmed.collect::<Vec<_>>().concat()
}

fn batch(replica: ReplicaKey, base: u64, count: u32) -> Record {
    let data = Bytes::from(format!("batch {base}"));
    Record::Batch { replica, base, count, term: base.min(2), commit: base - 1, data }
}

pub(super) fn table(versions: u64) -> Vec<u8> {
    let disk = SimDisk::new(1);
    let mut tree = Tree::open(context(&disk), &TreeImage::default(), 0).expect("an empty tree");
    for revision in 1..=versions {
        let key = Bytes::from(format!("key {:02}", revision % 24));
        let value = Bytes::from(vec![b'v'; (revision % 7) as usize * 9]);
        let operation = if revision % 5 == 0 {
            Op::delete(KeyClass::User, key)
        } else {
            Op::put(KeyClass::User, key, value)
        };
        tree.apply(revision, &[operation]);
        if revision % 3 == 0 {
            let (stamp, clock) = (revision << 16, revision);
            tree.end_batch(TimedBatch { last: revision, stamp, clock });
        }
    }
    tree.rotate(Applied { index: versions, term: 1 }, Bytes::new(), &[]);
    let mut job = tree.flush_job().expect("something is frozen");
    while !matches!(job.step(1 << 20).expect("the disk works"), Progress::Done(_)) {}
    let mut tables = disk.contents().into_iter().filter(|(path, _)| path.starts_with("/data/sst"));
    tables.next().expect("a table was written").1
}

fn manifest() -> (Vec<u8>, Vec<u8>) {
    let disk = SimDisk::new(1);
    disk.create_dir_all(&manifest_dir()).expect("the disk works");
    let options = ManifestOptions { rewrite_bytes: 1 << 20, salt: 9 };
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let manifest = Manifest::start(shared, &manifest_dir(), options, ManifestState::default());
    let manifest = manifest.expect("the disk works");
    let (applied, state) = (Applied { index: 7, term: 2 }, Bytes::from_static(b"state"));
    let create = |replica| Change::Create { replica, applied, state: state.clone() };
    let edits = [
        vec![Change::Identity(Identity { node: 0xa0, database: Some(0xdb) })],
        vec![map_entry(b"k1", b"one"), map_entry(b"k2", b"two"), Change::NextFile(9)],
        vec![Change::Map(MapChange::remove(Bytes::from_static(b"k2")))],
        vec![Change::Creation(Bytes::from_static(b"creation")), create(A), create(B)],
        vec![publish(applied), Change::Remove(B)],
        vec![Change::Compact { replica: A, tree: moved() }],
    ];
    for edit in edits {
        manifest.commit(&edit).expect("the edit fits");
    }
    let files = disk.contents();
    let named = |part: &str| {
        let found = files.iter().find(|(path, _)| path.to_string_lossy().contains(part));
        found.expect("it was written").1.clone()
    };
    (named("MANIFEST"), named("CURRENT"))
}

fn map_entry(key: &'static [u8], content: &'static [u8]) -> Change {
    Change::Map(MapChange::set(Bytes::from_static(key), Bytes::from_static(content)))
}

fn listed(level: u8) -> TableMeta {
    TableMeta {
        file: doug_storage::table::FileId(3),
        level,
        size: 4096,
        identity: 0x1234_5678,
        entries: 17,
        tombstones: 3,
        min_revision: 1,
        max_revision: 8,
        min_key: Bytes::from_static(b"\x01apple"),
        max_key: Bytes::from_static(b"\x01pear"),
    }
}

fn publish(applied: Applied) -> Change {
    let tree = TreeEdit { added: vec![listed(0)], removed: Vec::new(), gc_floor: 3 };
    let applied = Applied { index: applied.index + 1, ..applied };
    Change::Publish { replica: A, applied, state: Bytes::from_static(b"newer"), tree }
}

fn moved() -> TreeEdit {
    let table = listed(1);
    TreeEdit { removed: vec![table.file], added: vec![table], gc_floor: 5 }
}
