//! Chooses the next compaction from sizes, key ranges and counts of tombstones alone.
//!
//! Full levels come first. Where none is full, tables that mostly delete go down all the same:
//! a tombstone frees nothing before it meets what it hides, and where nobody writes on, no level
//! would ever be full again. Each such compaction brings tombstones one level down, or past the
//! last version beneath them, where they go themselves; so there is an end to them.

use crate::table::FileId;
use crate::tree::{TableMeta, TreeOptions};

/// A compaction worth doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picked {
    /// The level that the upper tables stand in.
    pub level: usize,
    /// The level the output goes to: the next one, or the same.
    pub output: usize,
    /// Tables taken from it.
    pub upper: Vec<FileId>,
    /// Tables of the next level whose keys they overlap.
    pub lower: Vec<FileId>,
}

/// Fullness in thousandths at which a level asks for compaction.
const FULL: u64 = 1000;

/// The compaction of the fullest level, if any level is full; else of a table that mostly
/// deletes, once most of that is of no use to anybody: half of its revisions are at or below
/// `horizon`.
///
/// `levels` is ordered as in the tree: level 0 newest first, the others by key.
pub fn pick(
    levels: &[Vec<impl AsRef<TableMeta>>],
    options: &TreeOptions,
    horizon: u64,
) -> Option<Picked> {
    let last = options.levels.max(levels.len()) - 1;
    pick_full(levels, options, last).or_else(|| pick_deleting(levels, options, last, horizon))
}

fn pick_full(
    levels: &[Vec<impl AsRef<TableMeta>>],
    options: &TreeOptions,
    last: usize,
) -> Option<Picked> {
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
    downwards(levels, level, &upper)
}

/// From the deepest level up: what tombstones of upper levels would drag along is less then.
fn pick_deleting(
    levels: &[Vec<impl AsRef<TableMeta>>],
    options: &TreeOptions,
    last: usize,
    horizon: u64,
) -> Option<Picked> {
    (0..last.min(levels.len())).rev().find_map(|level| {
        let deletes = |meta: &&TableMeta| {
            let middle = meta.min_revision + (meta.max_revision - meta.min_revision) / 2;
            middle <= horizon && mostly_deletes(levels, level, meta)
        };
        let upper = match level {
            // Older tables of level 0 go with it.
            0 => {
                let oldest = oldest(&levels[0], options.l0_compaction_max);
                oldest.iter().any(&deletes).then_some(oldest)?
            }
            _ => vec![levels[level].iter().map(AsRef::as_ref).find(deletes)?],
        };
        downwards(levels, level, &upper)
    })
}

/// Whether half of a table are tombstones, or they hide about a quarter of what the table would
/// drag along: few of them delete much where values are large.
fn mostly_deletes(levels: &[Vec<impl AsRef<TableMeta>>], level: usize, meta: &TableMeta) -> bool {
    let beneath = overlapping(levels, level + 1, &meta.min_key, &meta.max_key);
    let (bytes, entries) = beneath.fold((0, 0), |(bytes, entries): (u64, u64), lower| {
        (bytes.saturating_add(lower.size), entries.saturating_add(lower.entries))
    });
    let tombstones = u128::from(meta.tombstones);
    let hidden = tombstones * u128::from(bytes) / u128::from(entries.max(1));
    tombstones > 0
        && (tombstones * 2 >= u128::from(meta.entries)
            || bytes > 0 && hidden * 4 >= u128::from(bytes) + u128::from(meta.size))
}

/// These tables of a level, into the next one.
fn downwards(
    levels: &[Vec<impl AsRef<TableMeta>>],
    level: usize,
    upper: &[&TableMeta],
) -> Option<Picked> {
    let (min, max) = span(upper)?;
    Some(Picked {
        level,
        output: level + 1,
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

    /// Everything is at or below this revision.
    const NOW: u64 = 1_000;

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
        assert_eq!(pick(&levels, &options(), NOW), None);
        assert_eq!(pick(&[Vec::<TableMeta>::new()], &options(), NOW), None);
    }

    #[test]
    fn level_0_gives_its_oldest_tables_and_all_they_overlap() {
        let newest_first = [5, 4, 3, 2].map(|file| table(file, 0, "f", "m", 10));
        let below = vec![
            table(10, 1, "a", "f", 10),
            table(11, 1, "g", "h", 10),
            table(12, 1, "n", "z", 10),
        ];
        let picked = pick(&[newest_first.to_vec(), below], &options(), NOW).expect("full");
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
        let picked = pick(&levels, &options(), NOW).expect("full");
        assert_eq!((picked.level, picked.output), (1, 2));
        assert_eq!(picked.upper, files(&[2]));
        assert_eq!(picked.lower, files(&[4]));
    }

    #[test]
    fn the_fullest_level_goes_first() {
        let levels = [
            [3, 2, 1].map(|f| table(f, 0, "a", "b", 1)).to_vec(),
            vec![table(9, 1, "a", "c", 5000)],
        ];
        assert_eq!(pick(&levels, &options(), NOW).map(|p| p.level), Some(1));
    }

    #[test]
    fn the_last_level_is_never_full() {
        let mut levels = vec![vec![]; 4];
        levels[3].push(table(1, 3, "a", "b", u64::MAX));
        assert_eq!(pick(&levels, &options(), NOW), None);
    }

    fn deleting(table: TableMeta, entries: u64, tombstones: u64) -> TableMeta {
        TableMeta { entries, tombstones, ..table }
    }

    #[test]
    fn a_table_that_mostly_deletes_goes_down_though_no_level_is_full() {
        let levels = [
            vec![],
            vec![deleting(table(2, 1, "a", "m", 10), 4, 2), table(3, 1, "n", "z", 10)],
            vec![table(1, 2, "b", "c", 500)],
        ];
        let picked = pick(&levels, &options(), NOW).expect("it deletes");
        assert_eq!((picked.level, picked.output), (1, 2));
        assert_eq!((picked.upper, picked.lower), (files(&[2]), files(&[1])));
    }

    #[test]
    fn few_tombstones_over_large_values_count_by_what_they_hide() {
        let over = |size| {
            let below = deleting(table(1, 2, "a", "z", size), 40, 0);
            [vec![], vec![deleting(table(2, 1, "a", "m", 100), 100, 15)], vec![below]]
        };
        assert!(pick(&over(10_000), &options(), NOW).is_some());
        assert_eq!(pick(&over(100), &options(), NOW), None);
    }

    #[test]
    fn what_somebody_may_still_read_is_not_gone_after() {
        let levels = [vec![], vec![deleting(table(7, 1, "a", "m", 10), 2, 2)], vec![]];
        assert!(pick(&levels, &options(), 7).is_some());
        assert_eq!(pick(&levels, &options(), 6), None);
    }

    #[test]
    fn tombstones_of_level_0_sink_with_the_tables_that_are_older() {
        let newest_first =
            vec![table(3, 0, "a", "b", 10), deleting(table(2, 0, "a", "b", 10), 1, 1)];
        let picked = pick(&[newest_first, vec![]], &options(), NOW).expect("it deletes");
        assert_eq!((picked.level, picked.upper), (0, files(&[3, 2])));
    }

    #[test]
    fn in_the_last_level_tombstones_have_nowhere_to_go() {
        let mut levels = vec![vec![]; 4];
        levels[3].push(deleting(table(1, 3, "a", "b", 10), 1, 1));
        assert_eq!(pick(&levels, &options(), NOW), None);
    }
}
