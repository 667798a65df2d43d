//! What a node keeps at hand of its tables: blocks, bounded by bytes, and open files, bounded by
//! descriptors. Both are shared by all its trees.

mod files;

pub(crate) use files::TableFile;
pub use files::{TableFiles, is_out_of_descriptors};

use std::sync::Arc;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};
use rustc_hash::FxBuildHasher;

use crate::table::FileId;
use crate::table::block::Block;

/// Fixed, so that the same reads hit and miss alike on every machine.
const SHARDS: usize = 8;
/// What an entry costs beside its block.
const OVERHEAD: u64 = 96;
/// Assumed size of a block, to size the cache's tables.
const TYPICAL_BLOCK: u64 = 8 << 10;

type Key = (FileId, u64);

#[derive(Clone)]
struct BlockWeight;

impl Weighter<Key, Block> for BlockWeight {
    fn weight(&self, _: &Key, block: &Block) -> u64 {
        block.weight() as u64 + OVERHEAD
    }
}

/// Decoded blocks by file and offset. Cheap to clone; clones share the blocks.
#[derive(Clone)]
pub struct BlockCache {
    blocks: Arc<Cache<Key, Block, BlockWeight, FxBuildHasher>>,
}

impl BlockCache {
    /// A cache of at most `bytes` bytes. Blocks greater than a shard of it (an eighth)
    /// are never kept.
    pub fn new(bytes: u64) -> Self {
        let items = (bytes / TYPICAL_BLOCK).max(1) as usize;
        let options = OptionsBuilder::new()
            .shards(SHARDS)
            .estimated_items_capacity(items)
            .weight_capacity(bytes)
            .build()
            .expect("both capacities are set");
        Self {
            blocks: Arc::new(Cache::with_options(
                options,
                BlockWeight,
                FxBuildHasher,
                DefaultLifecycle::default(),
            )),
        }
    }

    pub(crate) fn get(&self, file: FileId, offset: u64) -> Option<Block> {
        self.blocks.get(&(file, offset))
    }

    pub(crate) fn insert(&self, file: FileId, offset: u64, block: Block) {
        self.blocks.insert((file, offset), block);
    }

    /// Bytes held now.
    pub fn used_bytes(&self) -> u64 {
        self.blocks.weight()
    }

    /// The limit in bytes.
    pub fn capacity_bytes(&self) -> u64 {
        self.blocks.capacity()
    }
}

impl std::fmt::Debug for BlockCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockCache")
            .field("used_bytes", &self.used_bytes())
            .field("capacity_bytes", &self.capacity_bytes())
            .finish()
    }
}
