//! Writing a file that is either there as a whole or not at all.

use anyhow::{Context, bail};
use std::fs::{File, OpenOptions, Permissions};
use std::io::{BufWriter, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Links followed before they count as a circle, as Linux does.
const LINKS: usize = 40;

/// A file being written.
///
/// A regular file is written beside its place and renamed into it at the end, so that one
/// that broke off never passes for a whole one, nor replaces the last good one. It keeps its
/// mode, its owner where that is allowed, and the links that lead to it. Whatever is no
/// regular file (a FIFO, a device) is written through: a rename would put a file there. So
/// is what a process holds open (`/dev/stdout`), after what that wrote before: a rename
/// would leave it, and whoever writes there next, with a file that has no name any more.
#[derive(Debug)]
pub enum WholeFile {
    /// To be renamed to this place.
    Beside(BufWriter<NamedTempFile>, PathBuf),
    /// No regular file.
    Through(BufWriter<File>),
}

impl WholeFile {
    /// Begins to write what is to be at `path`.
    ///
    /// # Errors
    /// A directory, or what may not be written.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        Self::begin(path).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Writes all of it at once.
    ///
    /// # Errors
    /// As `create` and `finish`.
    pub fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
        let mut file = Self::create(path)?;
        file.write_all(bytes).with_context(|| format!("cannot write {}", path.display()))?;
        file.finish()
    }

    fn begin(path: &Path) -> anyhow::Result<Self> {
        let there = match std::fs::metadata(path) {
            Ok(there) => Some(there),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        let place = match target(path)? {
            Target::Place(place) => place,
            Target::Open(open) => return Ok(Self::Through(BufWriter::new(open.file(path)?))),
        };
        let Some(there) = there else {
            // As any new file: what the umask leaves.
            let partial = beside(&place, Permissions::from_mode(0o666))?;
            return Ok(Self::Beside(BufWriter::new(partial), place));
        };
        if there.is_dir() {
            bail!("it is a directory");
        }
        // One that may not be written is not to be replaced either.
        let itself = OpenOptions::new().write(true).open(path)?;
        let same = std::fs::metadata(&place)
            .is_ok_and(|at| (at.dev(), at.ino()) == (there.dev(), there.ino()));
        if !there.is_file() || !same {
            return Ok(Self::Through(BufWriter::new(itself)));
        }
        let partial = beside(&place, Permissions::from_mode(0o600))?;
        // Only root may give files away; another's file becomes the writer's own.
        let _ = fchown(partial.as_file(), Some(there.uid()), Some(there.gid()));
        partial.as_file().set_permissions(there.permissions())?;
        Ok(Self::Beside(BufWriter::new(partial), place))
    }

    /// Puts it in its place, on disk.
    ///
    /// # Errors
    /// It cannot be written, or not be renamed.
    pub fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Through(mut file) => file.flush().context("cannot write it"),
            Self::Beside(partial, place) => {
                let cannot = || format!("cannot write {}", place.display());
                let partial = partial.into_inner().map_err(|error| error.into_error());
                let partial = partial.with_context(cannot)?;
                partial.as_file().sync_all().with_context(cannot)?;
                partial.persist(&place).with_context(cannot)?;
                Ok(())
            }
        }
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Beside(file, _) => file.write(bytes),
            Self::Through(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Beside(file, _) => file.flush(),
            Self::Through(file) => file.flush(),
        }
    }
}

/// What a path leads to in the end, over links.
enum Target {
    /// A place in a folder; there may be nothing yet.
    Place(PathBuf),
    /// What a process holds open.
    Open(Descriptor),
}

/// A descriptor of a process, as Linux shows it under `/proc`.
#[derive(Debug, PartialEq, Eq)]
enum Descriptor {
    Stdout,
    Stderr,
    Other,
}

impl Descriptor {
    /// That of a path whose folder lists the descriptors of a process.
    fn of(path: &Path) -> Option<Self> {
        let folder = std::fs::canonicalize(folder_of(path)).ok()?;
        let listed = folder.starts_with("/proc") && folder.ends_with("fd");
        let number = path.file_name()?.to_str()?.parse::<u32>().ok().filter(|_| listed)?;
        let own = folder == Path::new(&format!("/proc/{}/fd", std::process::id()));
        Some(match number {
            1 if own => Self::Stdout,
            2 if own => Self::Stderr,
            _ => Self::Other,
        })
    }

    /// What is written to it comes after what it holds.
    #[allow(clippy::disallowed_methods, reason = "only their descriptors are wanted")]
    fn file(&self, path: &Path) -> std::io::Result<File> {
        match self {
            // The same open file, so that its position moves for whoever shares it.
            Self::Stdout => std::io::stdout().as_fd().try_clone_to_owned().map(File::from),
            Self::Stderr => std::io::stderr().as_fd().try_clone_to_owned().map(File::from),
            Self::Other => OpenOptions::new().append(true).open(path),
        }
    }
}

fn target(path: &Path) -> anyhow::Result<Target> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        if let Some(open) = Descriptor::of(&path) {
            return Ok(Target::Open(open));
        }
        let Ok(to) = std::fs::read_link(&path) else { return Ok(Target::Place(path)) };
        path = folder_of(&path).join(to);
    }
    bail!("it is a circle of links");
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

fn beside(place: &Path, mode: Permissions) -> std::io::Result<NamedTempFile> {
    tempfile::Builder::new().permissions(mode).tempfile_in(folder_of(place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::{FileTypeExt, symlink};

    fn write(path: &Path, text: &str) -> anyhow::Result<()> {
        WholeFile::write(path, text.as_bytes())
    }

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_new_file_has_the_mode_of_any_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let (new, usual) = (folder.path().join("new"), folder.path().join("usual"));
        write(&new, "text").unwrap();
        File::create(&usual).unwrap();
        assert_eq!((read(&new).as_str(), mode(&new)), ("text", mode(&usual)));
    }

    #[test]
    fn a_file_that_is_replaced_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "old").unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o664)).unwrap();
        write(&file, "new").unwrap();
        assert_eq!((read(&file).as_str(), mode(&file)), ("new", 0o664));
    }

    #[test]
    fn one_that_broke_off_leaves_the_last_good_one_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "old").unwrap();
        WholeFile::create(&file).unwrap().write_all(b"half").unwrap();
        assert_eq!(read(&file), "old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn links_stay_and_what_they_lead_to_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("deep")).unwrap();
        std::fs::write(at("deep/there"), "old").unwrap();
        symlink("deep/there", at("near")).unwrap();
        symlink("near", at("far")).unwrap();
        symlink("deep/missing", at("dangling")).unwrap();
        for (link, file) in [("far", "deep/there"), ("dangling", "deep/missing")] {
            write(&at(link), "new").unwrap();
            assert!(std::fs::symlink_metadata(at(link)).unwrap().is_symlink(), "{link}");
            assert_eq!(read(&at(file)), "new");
        }
        symlink("circle", at("circle")).unwrap();
        assert!(write(&at("circle"), "new").is_err());
    }

    #[test]
    fn a_fifo_is_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let reader = std::thread::spawn({
            let fifo = fifo.clone();
            move || read(&fifo)
        });
        write(&fifo, "text").unwrap();
        assert_eq!(reader.join().unwrap(), "text");
        assert!(std::fs::symlink_metadata(&fifo).unwrap().file_type().is_fifo());
    }

    #[test]
    fn a_device_stays_a_device_and_its_failure_is_said() {
        write(Path::new("/dev/null"), "text").unwrap();
        assert!(std::fs::metadata("/dev/null").unwrap().file_type().is_char_device());
        let error = write(Path::new("/dev/full"), "text").unwrap_err();
        assert!(format!("{error:#}").contains("No space left on device"), "{error:#}");
        assert!(std::fs::metadata("/dev/full").unwrap().file_type().is_char_device());
    }

    #[test]
    fn what_a_process_holds_open_is_written_after_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "before ").unwrap();
        let held = OpenOptions::new().append(true).open(&file).unwrap();
        for named in ["/proc/self/fd", "/dev/fd"] {
            write(&Path::new(named).join(held.as_raw_fd().to_string()), "text ").unwrap();
        }
        (&held).write_all(b"after").unwrap();
        assert_eq!(read(&file), "before text text after");
    }

    #[test]
    fn the_standard_streams_are_known_under_each_of_their_names() {
        for (path, stream) in [
            ("/dev/stdout", Descriptor::Stdout),
            ("/dev/fd/1", Descriptor::Stdout),
            ("/proc/self/fd/1", Descriptor::Stdout),
            ("/dev/stderr", Descriptor::Stderr),
        ] {
            let Target::Open(found) = target(Path::new(path)).unwrap() else { panic!("{path}") };
            assert_eq!(found, stream, "{path}");
        }
    }

    #[test]
    fn a_directory_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = write(folder.path(), "text").unwrap_err();
        assert!(format!("{error:#}").contains("directory"), "{error:#}");
    }
}
