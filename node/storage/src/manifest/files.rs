//! Finds the manifest in force, reads it, and switches to a new one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::frame::{self, HEADER, Kind};
use super::{Change, ManifestState};
use crate::disk::{Disk, DiskFile, OpenMode, read_front};
use crate::simulation::crash_point;
use crate::{Corruption, Result, StorageError};

const CURRENT: &str = "CURRENT";
const TEMPORARY: &str = "CURRENT.tmp";
const PREFIX: &str = "MANIFEST-";

/// A manifest that was read; nothing has been written yet.
pub struct Loaded {
    /// The sum of its edits.
    pub state: ManifestState,
    /// Its number.
    pub number: u64,
}

/// A manifest that edits can be appended to.
pub(super) struct OpenManifest {
    pub file: Arc<dyn DiskFile>,
    pub path: PathBuf,
    pub number: u64,
    pub salt: u64,
    /// Where the next frame goes. Everything before is durable.
    pub end: u64,
}

/// The file that names the manifest in force.
pub(crate) fn current(dir: &Path) -> PathBuf {
    dir.join(CURRENT)
}

fn name(number: u64) -> String {
    format!("{PREFIX}{number:020}")
}

fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix(PREFIX)?.parse().ok()
}

/// Reads the manifest that `dir/CURRENT` names; `None` if there is no such file.
///
/// An edit that was never synced may be torn, and is left out. Any other damage
/// is refused, with file and offset, and nothing is changed.
pub fn load(disk: &dyn Disk, dir: &Path) -> Result<Option<Loaded>> {
    let current = dir.join(CURRENT);
    if !disk.exists(&current).map_err(StorageError::io("look for", &current))? {
        return Ok(None);
    }
    let text = read_file(disk, &current)?;
    let number = parse_current(&text).ok_or_else(|| {
        Corruption::new(&current, 0, "it should name a manifest and its checksum, and does not")
    })?;
    let path = dir.join(name(number));
    if !disk.exists(&path).map_err(StorageError::io("look for", &path))? {
        return Err(Corruption::new(&path, 0, "CURRENT names it, and it is missing").into());
    }
    let bytes = read_file(disk, &path)?;
    Ok(Some(Loaded { state: read_edits(&bytes, &path, number)?, number }))
}

fn read_file(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>> {
    let file = disk.open(path, OpenMode::Read).map_err(StorageError::reading("open", path, 0))?;
    let len = file.len().map_err(StorageError::io("measure", path))?;
    read_front(&*file, path, len)
}

/// `MANIFEST-<number> <checksum of the name, hexadecimal>`, one line.
fn current_line(number: u64) -> String {
    let name = name(number);
    format!("{name} {:08x}\n", crc32fast::hash(name.as_bytes()))
}

fn parse_current(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let number = number_of(text.split(' ').next()?)?;
    (text == current_line(number)).then_some(number)
}

fn read_edits(bytes: &[u8], path: &Path, number: u64) -> Result<ManifestState> {
    let salt = frame::read_header(bytes, path, number)?;
    let damaged =
        |at: usize, what: String| -> StorageError { Corruption::new(path, at as u64, what).into() };
    let mut state = ManifestState::default();
    let mut at = HEADER;
    let mut mark = 0;
    let why = loop {
        let frame = match frame::decode(bytes, at, salt) {
            Ok(frame) => frame,
            Err(why) => break why,
        };
        mark = mark.max(frame.durable);
        if frame.kind == Kind::Edit {
            let changes = Change::decode_all(frame.payload).map_err(|why| damaged(at, why))?;
            for change in &changes {
                state.apply(change).map_err(|why| damaged(at, why))?;
            }
        }
        at = frame.end;
    };
    mark = mark.max(frame::greatest_mark_beyond(bytes, at, salt));
    if mark > at as u64 {
        return Err(damaged(
            at,
            format!("{why}; later edits prove that everything before offset {mark} was durable"),
        ));
    }
    // The first edit and its mark were durable before CURRENT named this file.
    if at == HEADER {
        return Err(damaged(at, format!("{why}, where the first edit belongs")));
    }
    Ok(state)
}

/// Writes `state` to a manifest of its own and makes it the one in force, atomically.
pub(super) fn switch(
    disk: &dyn Disk,
    dir: &Path,
    number: u64,
    salt: u64,
    state: &ManifestState,
) -> Result<OpenManifest> {
    let path = dir.join(name(number));
    let mut payload = Vec::new();
    state.to_changes().iter().for_each(|change| change.encode(&mut payload));
    let mut bytes = frame::header(number, salt).to_vec();
    let salt = frame::frame_salt(salt, number);
    frame::encode(Kind::Edit, salt, 0, 0, &payload, &mut bytes);
    // True by the time anyone reads it: CURRENT changes only after the sync.
    let durable = bytes.len() as u64;
    frame::encode(Kind::Mark, salt, 0, durable, &[], &mut bytes);
    let file = write_fresh(disk, &path, &bytes)?;
    crash_point("manifest switch: new one written");
    let temporary = dir.join(TEMPORARY);
    write_fresh(disk, &temporary, current_line(number).as_bytes())?;
    crash_point("manifest switch: CURRENT.tmp written");
    sync_dir(disk, dir)?;
    crash_point("manifest switch: names synced");
    let current = dir.join(CURRENT);
    disk.rename(&temporary, &current).map_err(StorageError::io("rename to", &current))?;
    crash_point("manifest switch: CURRENT renamed");
    sync_dir(disk, dir)?;
    crash_point("manifest switch: in force");
    Ok(OpenManifest { file, path, number, salt, end: bytes.len() as u64 })
}

/// Writes a file that nobody refers to yet, durably.
fn write_fresh(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<Arc<dyn DiskFile>> {
    if disk.exists(path).map_err(StorageError::io("look for", path))? {
        disk.remove(path).map_err(StorageError::io("remove", path))?;
    }
    let file = disk.open(path, OpenMode::Create).map_err(StorageError::io("create", path))?;
    file.write_at(bytes, 0).map_err(StorageError::io("write", path))?;
    file.sync_data().map_err(StorageError::io("sync", path))?;
    Ok(file)
}

fn sync_dir(disk: &dyn Disk, dir: &Path) -> Result<()> {
    disk.sync_dir(dir).map_err(StorageError::io("sync the directory", dir))
}

/// Removes the manifests that a crash left behind.
pub(super) fn remove_others(disk: &dyn Disk, dir: &Path, number: u64) -> Result<()> {
    for name in disk.list(dir).map_err(StorageError::io("list", dir))? {
        let leftover = number_of(&name).is_some_and(|n| n != number) || name == TEMPORARY;
        if leftover {
            let path = dir.join(name);
            disk.remove(&path).map_err(StorageError::io("remove", &path))?;
            crash_point("manifest: leftover removed");
        }
    }
    Ok(())
}

/// A number above all manifests in `dir`.
pub(super) fn next_number(disk: &dyn Disk, dir: &Path) -> Result<u64> {
    let names = disk.list(dir).map_err(StorageError::io("list", dir))?;
    Ok(names.iter().filter_map(|name| number_of(name)).max().map_or(1, |n| n + 1))
}
