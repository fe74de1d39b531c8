use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::client::Place;

/// First in the file: what it is, and the version of its form.
const HEAD: &str = "todo-watch 1";

/// Why a state file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("{}: another process uses it: end that one, or use another file", .0.display())]
    InUse(PathBuf),
    #[error("{}: this is no state file of `todo watch`: repair it, or remove it to start from now", .0.display())]
    Mangled(PathBuf),
    #[error("{}: {error}", path.display())]
    Unusable { path: PathBuf, error: io::Error },
}

/// Remembers a place in the history of a list, for one process at a time. It is always
/// one place as a whole, since a new file, once it is synced, takes the old one's name;
/// after a power failure it may be an older one.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    /// What is in the file; `None`: there is no file.
    place: Option<Place>,
    /// Never removed: a second process could hold the removed file while a third locks
    /// a new one. The kernel takes the lock back when the process ends.
    _lock: File,
}

impl StateFile {
    pub fn open(path: &Path) -> Result<StateFile, StateError> {
        let unusable = |error| StateError::Unusable { path: path.to_owned(), error };
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(beside(path, ".lock")).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StateError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        let place = match fs::read(path) {
            // As `mktemp` makes them.
            Ok(bytes) if bytes.is_empty() => None,
            Ok(bytes) => {
                let place = String::from_utf8(bytes).ok().and_then(|text| parse(&text));
                Some(place.ok_or_else(|| StateError::Mangled(path.to_owned()))?)
            }
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            Err(e) => return Err(unusable(e)),
        };
        Ok(StateFile { path: path.to_owned(), place, _lock: lock })
    }

    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    pub fn save(&mut self, place: &Place) -> Result<(), StateError> {
        if self.place.as_ref() == Some(place) {
            return Ok(());
        }
        let temporary = beside(&self.path, ".tmp");
        let written = write(&temporary, &text(place));
        written
            .and_then(|()| fs::rename(&temporary, &self.path))
            .map_err(|error| StateError::Unusable { path: self.path.clone(), error })?;
        self.place = Some(place.clone());
        Ok(())
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    // Else it might be empty after a power failure, whatever its name is by then.
    file.sync_data()
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// `todo-watch 1 REVISION LIST_ID`
fn text(place: &Place) -> String {
    format!("{HEAD} {} {}\n", place.revision, place.list_id)
}

fn parse(text: &str) -> Option<Place> {
    let (revision, list_id) = text.strip_prefix(HEAD)?.trim().split_once(' ')?;
    let place = Place { list_id: list_id.to_owned(), revision: revision.parse().ok()? };
    // Made again from its parts, it must be the same to the letter: else it was cut.
    (!place.list_id.is_empty() && place.revision >= 0 && self::text(&place) == text)
        .then_some(place)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn place(revision: i64) -> Place {
        Place { list_id: "abc".to_owned(), revision }
    }

    #[test]
    fn what_is_saved_is_there_the_next_time_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let mut file = StateFile::open(&path).unwrap();
        assert_eq!(file.place(), None);
        assert!(!path.exists());
        for revision in [0, 7, i64::MAX] {
            file.save(&place(revision)).unwrap();
            drop(file);
            file = StateFile::open(&path).unwrap();
            assert_eq!(file.place(), Some(&place(revision)));
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
    fn a_mangled_file_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let good = text(&place(12));
        let cut = (1..good.len()).map(|end| good[..end].to_owned());
        let others = ["todo-watch 2 1 abc\n", "todo-watch 1 -1 abc\n", "todo-watch 1 x abc\n"]
            .into_iter()
            .chain(["todo-watch 1 012 abc\n", "12", "\u{1b}[31m\n"])
            .map(str::to_owned);
        for text in cut.chain(others) {
            fs::write(&path, &text).unwrap();
            assert!(matches!(StateFile::open(&path), Err(StateError::Mangled(_))), "{text:?}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        fs::write(&path, good).unwrap();
        assert_eq!(StateFile::open(&path).unwrap().place(), Some(&place(12)));
    }

    #[test]
    fn what_cannot_be_used_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("none").join("state");
        let why = StateFile::open(&missing).unwrap_err().to_string();
        assert!(why.starts_with(&format!("{}: No such file", missing.display())), "{why}");
        fs::create_dir(dir.path().join("dir")).unwrap();
        let why = StateFile::open(&dir.path().join("dir")).unwrap_err();
        assert!(matches!(why, StateError::Unusable { .. }), "{why}");
    }
}
