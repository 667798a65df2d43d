//! What a tree's jobs share: where its files are and how they are made.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{TableMeta, TreeOptions};
use crate::cache::{BlockCache, TableFiles};
use crate::disk::Disk;
use crate::table::{FileId, FileIds, ObsoleteFiles, Table};
use crate::{Corruption, Result, StorageError};

/// Where a tree lives and what it shares with the other trees of its node.
#[derive(Clone)]
pub struct TreeContext {
    /// The disk.
    pub disk: Arc<dyn Disk>,
    /// The node's open tables.
    pub files: TableFiles,
    /// The tree's directory; tables stand in `dir/sst`.
    pub dir: PathBuf,
    /// The node's block cache.
    pub cache: BlockCache,
    /// The node's source of file ids.
    pub ids: FileIds,
    /// The node's list of files nobody needs any more.
    pub obsolete: ObsoleteFiles,
    /// Random bits of this process, from which its tables get their identities.
    pub salt: u64,
    /// The tree's geometry.
    pub options: TreeOptions,
}

impl TreeContext {
    /// The directory of the tables.
    pub fn tables_dir(&self) -> PathBuf {
        self.dir.join("sst")
    }

    /// The identity of a table that this process writes: its id is unique on the node,
    /// the salt among nodes and processes.
    pub fn identity(&self, file: FileId) -> u64 {
        xxhash_rust::xxh3::xxh3_64_with_seed(&file.0.to_le_bytes(), self.salt)
    }

    /// The path of a table: `dir/sst/{file:016x}.sst`.
    pub fn table_path(&self, file: FileId) -> PathBuf {
        self.tables_dir().join(format!("{file}.sst"))
    }
}

/// The context as a tree's jobs share it.
pub(crate) struct Workshop {
    pub(crate) context: TreeContext,
}

impl Workshop {
    pub(crate) fn options(&self) -> &TreeOptions {
        &self.context.options
    }

    pub(crate) fn open_table(&self, file: FileId) -> Result<Arc<Table>> {
        let table = Table::open(
            &self.context.files,
            &self.context.table_path(file),
            file,
            self.context.cache.clone(),
            self.context.obsolete.clone(),
        )?;
        Ok(Arc::new(table))
    }

    /// Opens a table the manifest lists; it must be the very file the manifest means.
    pub(crate) fn open_listed(&self, meta: &TableMeta) -> Result<Arc<Table>> {
        let table = self.open_table(meta.file)?;
        let found = TableMeta::new(&table, meta.level);
        if found != *meta {
            let what = format!("the manifest lists {meta:?}, the file says {found:?}");
            return Err(Corruption::new(self.context.table_path(meta.file), 0, what).into());
        }
        Ok(table)
    }

    pub(crate) fn sync_tables_dir(&self) -> Result<()> {
        let dir = self.context.tables_dir();
        self.context.disk.sync_dir(&dir).map_err(StorageError::syncing_dir(dir))
    }
}

/// Table files in `dir/sst` that `listed` does not name: left by jobs a crash cut short.
/// Delete them only once start-up has succeeded, and before any job of the tree begins.
pub fn orphans(
    disk: &dyn Disk,
    dir: &Path,
    listed: impl Fn(FileId) -> bool,
) -> Result<Vec<PathBuf>> {
    let dir = dir.join("sst");
    if !disk.exists(&dir).map_err(StorageError::io("look for", &dir))? {
        return Ok(Vec::new());
    }
    let names = disk.list(&dir).map_err(StorageError::io("list", &dir))?;
    let orphan = |name: &String| match file_of_name(name) {
        Some(file) => !listed(file),
        None => false,
    };
    Ok(names.into_iter().filter(orphan).map(|name| dir.join(name)).collect())
}

/// The id in a name like `00000000000000ff.sst`; other names are none of ours.
pub fn file_of_name(name: &str) -> Option<FileId> {
    let digits = name.strip_suffix(".sst").filter(|d| d.len() == 16)?;
    u64::from_str_radix(digits, 16).ok().map(FileId)
}
