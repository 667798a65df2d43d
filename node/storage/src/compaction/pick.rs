//! Chooses the next compaction from sizes and key ranges alone.

use crate::table::FileId;
use crate::tree::{TableMeta, TreeOptions};

/// A compaction worth doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picked {
    /// The level to relieve; the output goes into the next one.
    pub level: usize,
    /// Tables taken from it.
    pub upper: Vec<FileId>,
    /// Tables of the next level whose keys they overlap.
    pub lower: Vec<FileId>,
}

impl Picked {
    /// The level the output goes to.
    pub fn output_level(&self) -> usize {
        self.level + 1
    }
}

/// Fullness in thousandths at which a level asks for compaction.
const FULL: u64 = 1000;

/// The compaction of the fullest level, if any level is full.
///
/// `levels` is ordered as in the tree: level 0 newest first, the others by key.
pub fn pick(levels: &[Vec<impl AsRef<TableMeta>>], options: &TreeOptions) -> Option<Picked> {
    let last = options.levels.max(levels.len()) - 1;
    let (fullness, level) = (0..last)
        .map(|level| (fullness(levels, level, options), level))
        // Of equally full levels the upper one: reads pay most for it.
        .max_by_key(|&(fullness, level)| (fullness, std::cmp::Reverse(level)))?;
    if fullness < FULL {
        return None;
    }
    let upper = match level {
        0 => oldest(&levels[0], options.l0_compaction_max),
        _ => vec![cheapest(levels, level)?],
    };
    let (min, max) = span(&upper)?;
    Some(Picked {
        level,
        lower: overlapping(levels, level + 1, min, max).map(|m| m.file).collect(),
        upper: upper.iter().map(|m| m.file).collect(),
    })
}

/// How full a level is, in thousandths of what it should hold.
pub(crate) fn fullness(
    levels: &[Vec<impl AsRef<TableMeta>>],
    level: usize,
    options: &TreeOptions,
) -> u64 {
    let Some(metas) = levels.get(level) else {
        return 0;
    };
    let (holds, should) = match level {
        0 => (metas.len() as u64, options.l0_compaction as u64),
        _ => (bytes(metas), options.level_target(level)),
    };
    holds.saturating_mul(FULL) / should
}

pub(crate) fn bytes(metas: &[impl AsRef<TableMeta>]) -> u64 {
    metas.iter().map(|m| m.as_ref().size).sum()
}

/// The oldest tables of level 0. Only a suffix may sink: a newer table sinking below an
/// older one would put newer versions under older ones.
fn oldest(metas: &[impl AsRef<TableMeta>], most: usize) -> Vec<&TableMeta> {
    metas[metas.len().saturating_sub(most)..].iter().map(AsRef::as_ref).collect()
}

/// The table that drags along the fewest bytes of the next level for its own size.
fn cheapest(levels: &[Vec<impl AsRef<TableMeta>>], level: usize) -> Option<&TableMeta> {
    let cost = |meta: &TableMeta| {
        let dragged: u64 =
            overlapping(levels, level + 1, &meta.min_key, &meta.max_key).map(|m| m.size).sum();
        dragged.saturating_mul(1000) / meta.size.max(1)
    };
    levels[level].iter().map(AsRef::as_ref).min_by_key(|&meta| cost(meta))
}

fn overlapping<'a>(
    levels: &'a [Vec<impl AsRef<TableMeta>>],
    level: usize,
    min: &'a [u8],
    max: &'a [u8],
) -> impl Iterator<Item = &'a TableMeta> {
    let metas = levels.get(level).map_or(&[][..], Vec::as_slice);
    metas.iter().map(AsRef::as_ref).filter(move |m: &&TableMeta| m.overlaps(min, max))
}

fn span<'a>(metas: &[&'a TableMeta]) -> Option<(&'a [u8], &'a [u8])> {
    let min = metas.iter().map(|m| m.min_key.as_ref()).min()?;
    let max = metas.iter().map(|m| m.max_key.as_ref()).max()?;
    Some((min, max))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn options() -> TreeOptions {
        TreeOptions {
            l0_compaction: 3,
            l0_compaction_max: 3,
            base_level_bytes: 1000,
            ..TreeOptions::tiny()
        }
    }

    fn table(file: u64, level: u8, min: &'static str, max: &'static str, size: u64) -> TableMeta {
        TableMeta {
            file: FileId(file),
            level,
            identity: 0,
            size,
            entries: 1,
            tombstones: 0,
            min_revision: file,
            max_revision: file,
            min_key: Bytes::from_static(min.as_bytes()),
            max_key: Bytes::from_static(max.as_bytes()),
        }
    }

    fn files(ids: &[u64]) -> Vec<FileId> {
        ids.iter().copied().map(FileId).collect()
    }

    #[test]
    fn nothing_is_picked_while_no_level_is_full() {
        let levels = [
            vec![table(2, 0, "a", "z", 10), table(1, 0, "a", "z", 10)],
            vec![table(3, 1, "a", "z", 999)],
        ];
        assert_eq!(pick(&levels, &options()), None);
        assert_eq!(pick(&[Vec::<TableMeta>::new()], &options()), None);
    }

    #[test]
    fn level_0_gives_its_oldest_tables_and_all_they_overlap() {
        let newest_first = [5, 4, 3, 2].map(|file| table(file, 0, "f", "m", 10));
        let below = vec![
            table(10, 1, "a", "f", 10),
            table(11, 1, "g", "h", 10),
            table(12, 1, "n", "z", 10),
        ];
        let picked = pick(&[newest_first.to_vec(), below], &options()).expect("full");
        assert_eq!(picked.level, 0);
        assert_eq!(picked.upper, files(&[4, 3, 2]));
        assert_eq!(picked.lower, files(&[10, 11]));
    }

    #[test]
    fn a_full_level_gives_the_table_that_drags_the_least() {
        let levels = [
            vec![],
            vec![table(1, 1, "a", "c", 600), table(2, 1, "d", "f", 600)],
            vec![table(3, 2, "a", "c", 900), table(4, 2, "f", "g", 100)],
        ];
        let picked = pick(&levels, &options()).expect("full");
        assert_eq!((picked.level, picked.output_level()), (1, 2));
        assert_eq!(picked.upper, files(&[2]));
        assert_eq!(picked.lower, files(&[4]));
    }

    #[test]
    fn the_fullest_level_goes_first() {
        let levels = [
            [3, 2, 1].map(|f| table(f, 0, "a", "b", 1)).to_vec(),
            vec![table(9, 1, "a", "c", 5000)],
        ];
        assert_eq!(pick(&levels, &options()).map(|p| p.level), Some(1));
    }

    #[test]
    fn the_last_level_is_never_full() {
        let mut levels = vec![vec![]; 4];
        levels[3].push(table(1, 3, "a", "b", u64::MAX));
        assert_eq!(pick(&levels, &options()), None);
    }
}
