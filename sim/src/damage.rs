//! What happens to volumes at rest: bits flip, sectors are misplaced, whole volumes vanish.
//!
//! Never to a majority of a cluster: nobody promises anything then.

use crate::plan::{FaultKind, SECOND};
use crate::random::Random;
use crate::world::World;
use doug_sim_disk::SECTOR;
use std::collections::BTreeSet;
use std::path::PathBuf;

impl World {
    /// Damages the volume of a node, unless too many of its cluster have lost something already.
    pub(crate) fn damage(&mut self, kind: FaultKind, node: usize, random: &mut Random) {
        if !self.may_lose(node) {
            return;
        }
        match kind {
            FaultKind::Wipe => {
                self.note_damage(node);
                self.wipe(node, random.between(1_000, 3 * SECOND));
            }
            FaultKind::BitFlip => self.flip(node, random),
            _ => self.misdirect(node, random),
        }
    }

    fn may_lose(&self, node: usize) -> bool {
        let size = self.cx.plan.nodes;
        let cluster = |other: &usize| other / size == node / size;
        let lost: BTreeSet<_> = self.cx.damaged.iter().copied().filter(cluster).collect();
        lost.contains(&node) || lost.len() < (size - 1) / 2
    }

    fn note_damage(&mut self, node: usize) {
        self.cx.damaged.insert(node);
    }

    fn flip(&mut self, node: usize, random: &mut Random) {
        let files = self.at_rest(node);
        if files.is_empty() {
            return;
        }
        let (path, len) = random.pick(&files).clone();
        let (offset, bit) = (random.below(len), random.below(8) as u8);
        self.nodes[node].disk.flip_bit(&path, offset, bit);
        self.note_damage(node);
        let name = &self.nodes[node].name;
        let line = format!("a bit flips on {name}: {} at {offset}", path.display());
        self.tell(&line);
    }

    fn misdirect(&mut self, node: usize, random: &mut Random) {
        let files = self.at_rest(node);
        let (Some(from), Some(to)) = (files.first(), files.last()) else { return };
        let mut pick = |len: u64| random.below(len.div_ceil(SECTOR)) * SECTOR;
        let (source, target) = (pick(from.1) as usize, pick(to.1) as usize);
        let disk = self.nodes[node].disk.clone();
        let bytes = disk.bytes(&from.0);
        let sector = &bytes[source..bytes.len().min(source + SECTOR as usize)];
        disk.tamper(&to.0, |bytes| {
            let len = sector.len().min(bytes.len() - target);
            bytes[target..target + len].copy_from_slice(&sector[..len]);
        });
        self.note_damage(node);
        let name = &self.nodes[node].name;
        let line =
            format!("a sector of {} lands in {} on {name}", from.0.display(), to.0.display());
        self.tell(&line);
    }

    /// Files that nothing writes to: tables, and segments of the log that are sealed. What the
    /// log wrote last could pass for torn, and its loss for that of a power failure.
    fn at_rest(&self, node: usize) -> Vec<(PathBuf, u64)> {
        let contents = self.nodes[node].disk.contents();
        let files = contents.into_iter().filter(|(_, bytes)| !bytes.is_empty());
        let mut files: Vec<_> = files.map(|(path, bytes)| (path, bytes.len() as u64)).collect();
        let newest = files.iter().map(|(path, _)| path).filter(|path| is_segment(path)).max();
        let newest = newest.cloned();
        files.retain(|(path, _)| {
            path.extension().is_some_and(|kind| kind == "sst")
                || is_segment(path) && Some(path) != newest.as_ref()
        });
        files
    }
}

fn is_segment(path: &std::path::Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.ends_with(".log") && !name.starts_with("free-")
}
