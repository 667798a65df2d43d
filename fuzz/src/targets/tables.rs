//! A table, read in every way there is.

use crate::{files, reseal};
use doug_sim_disk::SimDisk;
use doug_storage::cache::{BlockCache, TableFiles};
use doug_storage::table::{FileId, FileIds, ObsoleteFiles, Table};
use doug_storage::tree::{ScanRange, TableMeta, Tree, TreeContext, TreeImage, TreeOptions, View};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

const FILE: FileId = FileId(1);
/// Entries looked at in each direction; what lies beyond is decoded by the same code.
const ENTRIES: usize = 1_000;

pub fn context(disk: &SimDisk) -> TreeContext {
    TreeContext {
        disk: Arc::new(disk.clone()),
        files: TableFiles::new(Arc::new(disk.clone()), 8),
        dir: PathBuf::from("/data"),
        cache: BlockCache::new(1 << 20, 1 << 20),
        ids: FileIds::starting_at(2),
        options: TreeOptions::tiny(),
        obsolete: ObsoleteFiles::default(),
        salt: 5,
    }
}

/// The bytes of one file.
pub fn table(data: &[u8]) {
    read(data.to_vec());
    let mut resealed = data.to_vec();
    reseal::table(&mut resealed);
    read(resealed);
}

fn read(bytes: Vec<u8>) {
    let path = PathBuf::from(format!("/data/sst/{FILE}.sst"));
    let disk = files::disk_with([(path.clone(), bytes)]);
    let context = context(&disk);
    let (files, cache) = (context.files.clone(), context.cache.clone());
    let Ok(table) = Table::open(&files, &path, FILE, cache, ObsoleteFiles::default()) else {
        return;
    };
    let _ = table.batches();
    let meta = listed(&table);
    let applied = meta.max_revision;
    let image = TreeImage { tables: BTreeMap::from([(FILE, meta)]), gc_floor: 0 };
    let Ok(tree) = Tree::open(context, &image, applied) else { return };
    walk(&tree.view(), &table);
}

/// What the manifest would say of it.
fn listed(table: &Table) -> TableMeta {
    let properties = table.properties();
    TableMeta {
        file: FILE,
        level: 0,
        size: table.size(),
        identity: table.identity(),
        entries: properties.entries,
        tombstones: properties.tombstones,
        min_revision: properties.min_revision,
        max_revision: properties.max_revision,
        min_key: properties.min_key.clone(),
        max_key: properties.max_key.clone(),
    }
}

fn walk(view: &View, table: &Table) {
    let properties = table.properties();
    for reverse in [false, true] {
        let Ok(scan) = view.scan_system(ScanRange { reverse, ..ScanRange::all() }) else {
            continue;
        };
        scan.take(ENTRIES).take_while(Result::is_ok).for_each(drop);
    }
    for at in [None, Some(properties.min_revision)] {
        for key in [&properties.min_key, &properties.max_key] {
            let _ = view.get(&key[1..], at);
            let _ = view.get_system(&key[1..]);
        }
        for reverse in [false, true] {
            let range = ScanRange { reverse, ..ScanRange::all() };
            let Ok(scan) = view.scan(range, at) else { continue };
            for entry in scan.take(ENTRIES) {
                let Ok(entry) = entry else { break };
                let _ = view.get(&entry.key, at);
            }
        }
    }
}
