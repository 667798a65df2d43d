//! What happens to volumes at rest: bits flip, sectors are misplaced or do not read, whole
//! volumes vanish.
//!
//! Never to a majority of a cluster: nobody promises anything then.

use crate::plan::FaultKind;
use crate::random::Random;
use crate::time::{millis, seconds};
use crate::world::World;
use doug_sim_disk::{Crash, Loss, SECTOR};
use std::path::PathBuf;

impl World {
    /// Damages the volume of a node, unless more would be lost than is promised to survive.
    pub(crate) fn damage(&mut self, kind: FaultKind, node: usize, random: &mut Random) {
        if !self.may_lose(node) {
            return;
        }
        match kind {
            FaultKind::Wipe => {
                self.wipe(node, random.duration_between(millis(1), seconds(3)));
                let points = ["node joining: begun", "node joining: durable"];
                let (point, armed) = (*random.pick(&points), random.chance(300));
                return self.arm_if(armed, node, point);
            }
            FaultKind::TailDamage => return self.damage_tail(node, random),
            FaultKind::BitFlip => self.flip(node, random),
            FaultKind::LostSector => self.lose_sector(node, random),
            _ => self.misdirect(node, random),
        }
        let points = ["replica fenced: begun", "replica fenced: durable"];
        let (point, armed) = (*random.pick(&points), random.chance(300));
        self.arm_if(armed, node, point);
    }

    /// Lets the power fail at a point that is likely to be reached, where the plan has that.
    pub(crate) fn arm_if(&self, armed: bool, node: usize, point: &'static str) {
        if armed && self.cx.plan.faults.contains_key(&FaultKind::CrashPoint) {
            self.cx.crash_points.arm(node, point);
        }
    }

    fn note_damage(&mut self, node: usize, file: PathBuf) {
        if let Some(inode) = self.nodes[node].disk.inode(&file) {
            self.cx.losses.damage(self.nodes[node].id, (file, inode));
        }
    }

    fn flip(&mut self, node: usize, random: &mut Random) {
        let files = self.at_rest(node);
        if files.is_empty() {
            return;
        }
        let (path, len) = random.pick(&files).clone();
        let (offset, bit) = (random.below(len), random.below(8) as u8);
        self.nodes[node].disk.flip_bit(&path, offset, bit);
        let name = &self.nodes[node].name;
        let line = format!("a bit flips on {name}: {} at {offset}", path.display());
        self.note_damage(node, path);
        self.tell(&line);
    }

    /// The process ends, and what its log wrote last does not read any more: it looks like a write
    /// that a power loss cut short, and is cut, whatever it had been acknowledged for.
    fn damage_tail(&mut self, node: usize, random: &mut Random) {
        self.crash(node, Crash::Process, random.duration_between(millis(1), seconds(2)));
        let disk = self.nodes[node].disk.clone();
        let newest = disk.files().into_iter().filter(|path| is_segment(path)).max();
        let Some(path) = newest else { return };
        let Some((at, size)) = last_record(&disk.bytes(&path)) else { return };
        let (offset, bit) = (at + random.below(size), random.below(8) as u8);
        disk.flip_bit(&path, offset, bit);
        self.cx.losses.damage_tail(self.nodes[node].id);
        let name = &self.nodes[node].name;
        let line = format!("a bit of the last record of {name}'s log flips: at {offset}");
        self.tell(&line);
    }

    fn lose_sector(&mut self, node: usize, random: &mut Random) {
        let files = self.at_rest(node);
        if files.is_empty() {
            return;
        }
        let (path, len) = random.pick(&files).clone();
        let (offset, loss) = (random.below(len), *random.pick(&[Loss::Once, Loss::ForGood]));
        self.nodes[node].disk.lose_sector(&path, offset, loss);
        let name = &self.nodes[node].name;
        let line = format!("a sector of {name} is lost ({loss:?}): {} at {offset}", path.display());
        self.note_damage(node, path);
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
        self.note_damage(node, to.0.clone());
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

/// Where the last record of a segment stands, and its size; see docs/formats.md.
fn last_record(segment: &[u8]) -> Option<(u64, u64)> {
    let word = |at: usize| Some(u64::from_le_bytes(segment.get(at..at + 8)?.try_into().ok()?));
    let incarnation = word(16)?;
    let (mut at, mut last) = (64, None);
    while word(at + 16) == Some(incarnation) {
        let length = (word(at)? >> 32).next_multiple_of(8);
        // What only looks like a record: its bytes were written elsewhere, or damaged before.
        if length == 0 {
            break;
        }
        last = Some((at as u64, length));
        at += length as usize;
    }
    last
}
