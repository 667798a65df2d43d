//! What a node keeps at hand of its tables: blocks, and filters with indexes, each bounded by
//! bytes; open files, bounded by descriptors. All are shared by all its trees.

mod files;
mod reserve;

pub(crate) use files::TableFile;
pub use files::{TableFiles, is_out_of_descriptors};
pub(crate) use reserve::Reserve;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};
use rustc_hash::FxBuildHasher;

use crate::table::FileId;
use crate::table::block::Block;
use crate::table::lookup::Lookup;

/// Fixed, so that the same reads hit and miss alike on every machine.
const SHARDS: usize = 8;
/// What an entry costs beside its block.
const OVERHEAD: u64 = 96;
/// Assumed size of a block, to size the cache's tables.
const TYPICAL_BLOCK: u64 = 8 << 10;
/// Assumed size of a filter with its index.
const TYPICAL_LOOKUP: u64 = 64 << 10;

type Key = (FileId, u64);

#[derive(Clone)]
struct BlockWeight;

impl Weighter<Key, Block> for BlockWeight {
    fn weight(&self, _: &Key, block: &Block) -> u64 {
        block.weight() as u64 + OVERHEAD
    }
}

#[derive(Clone)]
struct LookupWeight;

impl Weighter<FileId, Arc<Lookup>> for LookupWeight {
    fn weight(&self, _: &FileId, lookup: &Arc<Lookup>) -> u64 {
        lookup.weight() as u64 + OVERHEAD
    }
}

/// Decoded blocks by file and offset; filters and indexes by file. Cheap to clone; clones share
/// what they hold.
#[derive(Clone)]
pub struct BlockCache {
    blocks: Arc<Cache<Key, Block, BlockWeight, FxBuildHasher>>,
    lookups: Arc<Cache<FileId, Arc<Lookup>, LookupWeight, FxBuildHasher>>,
    lookups_read: Arc<AtomicU64>,
}

impl BlockCache {
    /// A cache of at most `block_bytes` bytes of blocks, and `lookup_bytes` of filters and
    /// indexes. Blocks greater than a shard of it (an eighth) are never kept.
    pub fn new(block_bytes: u64, lookup_bytes: u64) -> Self {
        Self {
            blocks: Arc::new(cache(block_bytes, SHARDS, TYPICAL_BLOCK, BlockWeight)),
            // In one shard, for filter and index of one table may be a good part of the whole,
            // and reading them for every key would cost hundreds of blocks.
            lookups: Arc::new(cache(lookup_bytes, 1, TYPICAL_LOOKUP, LookupWeight)),
            lookups_read: Arc::default(),
        }
    }

    pub(crate) fn get(&self, file: FileId, offset: u64) -> Option<Block> {
        self.blocks.get(&(file, offset))
    }

    pub(crate) fn insert(&self, file: FileId, offset: u64, block: Block) {
        self.blocks.insert((file, offset), block);
    }

    pub(crate) fn lookup(&self, file: FileId) -> Option<Arc<Lookup>> {
        self.lookups.get(&file)
    }

    pub(crate) fn insert_lookup(&self, file: FileId, lookup: Arc<Lookup>) {
        self.lookups_read.fetch_add(1, Ordering::Relaxed);
        self.lookups.insert(file, lookup);
    }

    pub(crate) fn forget_lookup(&self, file: FileId) {
        self.lookups.remove(&file);
    }

    /// Bytes of blocks held now.
    pub fn used_bytes(&self) -> u64 {
        self.blocks.weight()
    }

    /// Bytes of filters and indexes held now.
    pub fn lookup_bytes(&self) -> u64 {
        self.lookups.weight()
    }

    /// How often filter and index of a table were read so far: many more times than there are
    /// tables, if there is too little room for them.
    pub fn lookups_read(&self) -> u64 {
        self.lookups_read.load(Ordering::Relaxed)
    }

    /// The limit of blocks in bytes.
    pub fn capacity_bytes(&self) -> u64 {
        self.blocks.capacity()
    }
}

fn cache<K, V, W>(
    bytes: u64,
    shards: usize,
    typical: u64,
    weighter: W,
) -> Cache<K, V, W, FxBuildHasher>
where
    K: Eq + std::hash::Hash,
    V: Clone,
    W: Weighter<K, V> + Clone,
{
    let options = OptionsBuilder::new()
        .shards(shards)
        .estimated_items_capacity((bytes / typical).max(1) as usize)
        .weight_capacity(bytes)
        .build()
        .expect("both capacities are set");
    Cache::with_options(options, weighter, FxBuildHasher, DefaultLifecycle::default())
}

impl std::fmt::Debug for BlockCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockCache")
            .field("used_bytes", &self.used_bytes())
            .field("capacity_bytes", &self.capacity_bytes())
            .finish()
    }
}
