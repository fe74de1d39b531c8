use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::client::Position;
use crate::limits::SYMLINKS_MAX;

/// The start of the file: its format and the format's version.
const HEAD: &str = "todo-watch 1";

/// Why a state file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error("{}: another process uses this file: end that process, or use another file", .0.display())]
    InUse(PathBuf),
    #[error("{}: not a state file of `todo watch`: use another file, or remove this file to start from now", .0.display())]
    Malformed(PathBuf),
    #[error("{}: not a regular file: use a file that does not exist yet", .0.display())]
    NotAFile(PathBuf),
    #[error("{}: {error}", path.display())]
    Unusable { path: PathBuf, error: io::Error },
}

/// Keeps a position on disk, for one process at a time.
///
/// A new file is written, synced and renamed over the old one, so the file always holds
/// one whole position. After a power failure it may hold an older one.
#[derive(Debug)]
pub(crate) struct StateFile {
    /// The file itself: every symbolic link on the way is resolved, so that a rename
    /// replaces the link's target and all names of the file share one lock.
    path: PathBuf,
    /// The position in the file; `None` if there is no file.
    position: Option<Position>,
    /// Never removed: a second process could hold the removed file while a third one locks
    /// a new file. The kernel releases the lock when the process ends.
    _lock: File,
}

impl StateFile {
    /// Locks the file and reads it. A missing or empty file has no position.
    pub(crate) fn open(path: &Path) -> Result<StateFile, StateError> {
        let unusable = |error| StateError::Unusable { path: path.to_owned(), error };
        let target = resolve(path).map_err(unusable)?;
        if is_no_regular_file(&target) {
            return Err(StateError::NotAFile(path.to_owned()));
        }
        let lock = open(&beside(&target, ".lock"), OpenOptions::new().write(true).create(true))
            .map_err(unusable)?
            .ok_or_else(|| StateError::NotAFile(beside(&target, ".lock")))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StateError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        let position = match open(&target, OpenOptions::new().read(true)) {
            Ok(None) => return Err(StateError::NotAFile(path.to_owned())),
            Ok(Some(mut file)) => {
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes).map_err(unusable)?;
                let malformed = || StateError::Malformed(path.to_owned());
                match String::from_utf8(bytes).map_err(|_| malformed())? {
                    // `mktemp` makes empty files.
                    text if text.is_empty() => None,
                    text => Some(parse(&text).ok_or_else(malformed)?),
                }
            }
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            Err(e) => return Err(unusable(e)),
        };
        Ok(StateFile { path: target, position, _lock: lock })
    }

    pub(crate) fn position(&self) -> Option<&Position> {
        self.position.as_ref()
    }

    /// Replaces the position. On return it is on disk, except after a power failure.
    pub(crate) fn save(&mut self, position: &Position) -> Result<(), StateError> {
        if self.position.as_ref() == Some(position) {
            return Ok(());
        }
        replace(&self.path, &text(position))
            .map_err(|error| StateError::Unusable { path: self.path.clone(), error })?;
        self.position = Some(position.clone());
        Ok(())
    }
}

/// Follows symbolic links, the last of which may point to a file that does not exist yet.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..SYMLINKS_MAX {
        let dir = match path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir.canonicalize()?,
            _ => Path::new(".").canonicalize()?,
        };
        match fs::read_link(&path) {
            Ok(target) => path = dir.join(target),
            Err(_) => return Ok(path.file_name().map_or(dir.clone(), |name| dir.join(name))),
        }
    }
    Err(io::Error::other("too many levels of symbolic links"))
}

/// Opens a regular file for its owner alone; `None` if it is anything else. It follows no
/// symbolic link, and does not wait for the other end of a FIFO.
fn open(path: &Path, options: &mut OpenOptions) -> io::Result<Option<File>> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    options.truncate(false).mode(0o600).custom_flags(flags.bits().cast_signed());
    if is_no_regular_file(path) {
        return Ok(None);
    }
    let file = options.open(path)?;
    // The name may have been given to another file since.
    Ok(file.metadata()?.is_file().then_some(file))
}

fn is_no_regular_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| !found.is_file())
}

/// Writes a file of a random name that nobody can have prepared, then renames it.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::Builder::new().prefix(".todo-watch-").tempfile_in(dir)?;
    file.write_all(text.as_bytes())?;
    // Without this the file could be empty after a power failure.
    file.as_file().sync_data()?;
    file.persist(path)?;
    Ok(())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// `todo-watch 1 REVISION LIST_ID`
fn text(position: &Position) -> String {
    format!("{HEAD} {} {}\n", position.revision, position.list_id)
}

fn parse(text: &str) -> Option<Position> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (revision, list_id) = text.strip_prefix(HEAD)?.trim().split_once(' ')?;
    let position = Position { list_id: list_id.to_owned(), revision: revision.parse().ok()? };
    // A file that was cut short differs from what its parts make.
    (!position.list_id.is_empty() && position.revision >= 0 && self::text(&position) == text)
        .then_some(position)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use rustix::fs::{FileType, Mode};

    use super::*;

    fn position(revision: i64) -> Position {
        Position { list_id: "abc".to_owned(), revision }
    }

    #[test]
    fn a_saved_position_is_read_back_and_private_to_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let mut file = StateFile::open(&path).unwrap();
        assert_eq!(file.position(), None);
        assert!(!path.exists());
        for revision in [0, 7, i64::MAX] {
            file.save(&position(revision)).unwrap();
            drop(file);
            file = StateFile::open(&path).unwrap();
            assert_eq!(file.position(), Some(&position(revision)));
        }
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&path).unwrap(), "todo-watch 1 9223372036854775807 abc\n");
    }

    #[test]
    fn one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let first = StateFile::open(&path).unwrap();
        assert!(matches!(StateFile::open(&path), Err(StateError::InUse(_))));
        drop(first);
        StateFile::open(&path).unwrap();
    }

    #[test]
    fn a_malformed_file_is_refused_and_not_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let good = text(&position(12));
        let cut = (1..good.len()).map(|end| good[..end].to_owned());
        let others = ["todo-watch 2 1 abc\n", "todo-watch 1 -1 abc\n", "todo-watch 1 x abc\n"]
            .into_iter()
            .chain(["todo-watch 1 012 abc\n", "12", "\u{1b}[31m\n"])
            .map(str::to_owned);
        for text in cut.chain(others) {
            fs::write(&path, &text).unwrap();
            assert!(matches!(StateFile::open(&path), Err(StateError::Malformed(_))), "{text:?}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        fs::write(&path, good).unwrap();
        assert_eq!(StateFile::open(&path).unwrap().position(), Some(&position(12)));
    }

    #[test]
    fn a_byte_order_mark_is_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        fs::write(&path, format!("\u{feff}{}", text(&position(7)))).unwrap();
        assert_eq!(StateFile::open(&path).unwrap().position(), Some(&position(7)));
    }

    /// The file that a link points to is updated and locked, whether it exists or not.
    #[test]
    fn a_symbolic_link_stays_a_link() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("real")).unwrap();
        let target = dir.path().join("real").join("state");
        let [first, second] = ["first", "second"].map(|name| dir.path().join(name));
        symlink("real/state", &first).unwrap();
        symlink(&first, &second).unwrap();
        for revision in [1, 2] {
            let mut file = StateFile::open(&second).unwrap();
            for name in [&first, &target] {
                assert!(matches!(StateFile::open(name), Err(StateError::InUse(_))));
            }
            file.save(&position(revision)).unwrap();
            assert!(first.is_symlink() && second.is_symlink());
            assert!(target.symlink_metadata().unwrap().is_file());
            drop(file);
            assert_eq!(StateFile::open(&target).unwrap().position(), Some(&position(revision)));
        }
        symlink("loop", dir.path().join("loop")).unwrap();
        let why = StateFile::open(&dir.path().join("loop")).unwrap_err().to_string();
        assert!(why.ends_with("too many levels of symbolic links"), "{why}");
    }

    /// Somebody else who may write to the directory prepares names that a write could use.
    #[test]
    fn saving_writes_to_no_file_but_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let victim = dir.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, beside(&path, ".tmp")).unwrap();
        let mut file = StateFile::open(&path).unwrap();
        file.save(&position(1)).unwrap();
        file.save(&position(2)).unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        let mut names: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["state", "state.lock", "state.tmp", "victim"]);
        let other = dir.path().join("other");
        symlink(&victim, beside(&other, ".lock")).unwrap();
        assert!(matches!(StateFile::open(&other), Err(StateError::NotAFile(_))));
    }

    #[test]
    fn only_a_regular_file_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let [fifo, link, locked] = ["fifo", "link", "locked"].map(|name| dir.path().join(name));
        let make_fifo = |path: &Path| {
            rustix::fs::mknodat(rustix::fs::CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap();
        };
        make_fifo(&fifo);
        make_fifo(&beside(&locked, ".lock"));
        symlink(&fifo, &link).unwrap();
        for path in [&fifo, &link, &locked, dir.path(), Path::new("/dev/null")] {
            let why = StateFile::open(path).unwrap_err();
            assert!(matches!(why, StateError::NotAFile(_)), "{}: {why}", path.display());
        }
        let missing = dir.path().join("none").join("state");
        let why = StateFile::open(&missing).unwrap_err().to_string();
        assert!(why.starts_with(&format!("{}: No such file", missing.display())), "{why}");
    }
}
