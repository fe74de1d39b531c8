//! `todo.head`: what the data directory acknowledged, kept beside the database.
//!
//! SQLite reads a database that was exchanged, or a log that was cut or damaged, as an
//! older list, without an error. This file reveals
//!
//! - that a list was kept here, so that a missing database is an error and not a new list;
//! - the newest acknowledged revision, so that a list that lost changes is reported;
//! - the schema cookie of the database file, so that a write-ahead log is never applied to
//!   another file, such as a backup copied over the list of a killed server. Each start
//!   gives the file a new random cookie, which tells it from all earlier copies. Copies
//!   that SQLite makes (`.backup`, `VACUUM INTO`) get a cookie of their own.
//!
//! A server that stops writes that it closed the files: then any log is of another file,
//! also if the backup that was copied here brought its own `todo.head`.
//!
//! The revision is written after the commit that made it, and not synced: it may be behind
//! the database, and never is ahead of it. The cookies are synced before the database gets
//! a new one. So a kill or a loss of power, at any moment, is never reported as a loss and
//! never refused.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::directory::sync_parent;
use crate::model::Revision;

/// Not `todo.db-head`: the file must survive `rm todo.db*`.
const NAME: &str = "todo.head";
/// First in the file, so that a later version can tell its own form from this one.
const FORM: &str = "todo-head-1";
/// Of equal length, as the text is overwritten in place.
const CLOSED: &str = "closed";
const IN_USE: &str = "in-use";
const _: () = assert!(CLOSED.len() == IN_USE.len());
/// More than the text can have.
const BYTES_MAX: u64 = 256;

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredHead {
    pub list_id: String,
    /// The newest revision that was acknowledged.
    pub revision: Revision,
    /// The schema cookies that the database file may have while it has a log: two while a
    /// new one is being written, [`ANY_COOKIE`] during a migration.
    pub cookies: [u32; 2],
    /// Whether the database was closed without a log.
    pub closed: bool,
}

/// Stands for every cookie.
pub(super) const ANY_COOKIE: u32 = 0;

impl StoredHead {
    /// Whether the log beside a database file with this cookie belongs to it.
    pub(super) fn fits(&self, cookie: u32) -> bool {
        let known = |known: &u32| *known == cookie || *known == ANY_COOKIE;
        !self.closed && self.cookies.iter().any(known)
    }

    fn to_text(&self) -> String {
        let StoredHead { list_id, revision, cookies: [first, second], closed } = self;
        let state = if *closed { CLOSED } else { IN_USE };
        let text = format!("{FORM} {list_id} {revision:020} {first:08x} {second:08x} {state}");
        let checksum = crc32c::crc32c(text.as_bytes());
        format!("{text} {checksum:08x}\n")
    }

    fn from_text(text: &str) -> Option<StoredHead> {
        let (text, checksum) = text.strip_suffix('\n')?.rsplit_once(' ')?;
        if u32::from_str_radix(checksum, 16).ok()? != crc32c::crc32c(text.as_bytes()) {
            return None;
        }
        let words: Vec<&str> = text.split(' ').collect();
        let [FORM, list_id, revision, first, second, state] = words[..] else { return None };
        let cookie = |word| u32::from_str_radix(word, 16).ok();
        Some(StoredHead {
            list_id: list_id.to_owned(),
            revision: revision.parse().ok()?,
            cookies: [cookie(first)?, cookie(second)?],
            closed: match state {
                CLOSED => true,
                IN_USE => false,
                _ => return None,
            },
        })
    }
}

/// The file, and what it said when it was opened or last written.
#[derive(Debug)]
pub(super) struct HeadFile {
    path: PathBuf,
    /// `None` before the first list.
    file: Option<File>,
    head: Option<StoredHead>,
    /// A failure to write is logged once.
    failing: bool,
}

impl HeadFile {
    /// Reads the file, if there is one. A file that cannot be understood proves that there
    /// was a list, and nothing else.
    pub(super) fn open(data_dir: &Path) -> io::Result<HeadFile> {
        let path = data_dir.join(NAME);
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let mut text = String::new();
        let head = match &file {
            None => None,
            Some(file) => match file.take(BYTES_MAX).read_to_string(&mut text) {
                Ok(_) => StoredHead::from_text(&text),
                Err(error) if error.kind() == ErrorKind::InvalidData => None,
                Err(error) => return Err(error),
            },
        };
        if file.is_some() && head.is_none() {
            log::warn!("{} is damaged and is written anew", path.display());
        }
        Ok(HeadFile { path, file, head, failing: false })
    }

    /// Whether the directory ever had a list.
    pub(super) fn exists(&self) -> bool {
        self.file.is_some()
    }

    pub(super) fn head(&self) -> Option<&StoredHead> {
        self.head.as_ref()
    }

    /// Writes the file and syncs it.
    pub(super) fn replace(&mut self, head: StoredHead) -> io::Result<()> {
        let created = match &self.file {
            Some(_) => false,
            None => {
                let mut options = OpenOptions::new();
                options.read(true).write(true).create(true).truncate(false).mode(0o600);
                self.file = Some(options.open(&self.path)?);
                true
            }
        };
        self.head = Some(head);
        self.write()?;
        if let Some(file) = &self.file {
            file.sync_data()?;
        }
        if created { sync_parent(&self.path) } else { Ok(()) }
    }

    /// The same, and returns whether it succeeded. A failure loses protection, not changes,
    /// so it is only logged.
    pub(super) fn note(&mut self, head: StoredHead) -> bool {
        let replaced = self.replace(head);
        self.log_failure(replaced)
    }

    /// Notes that changes up to this revision are committed, without a sync.
    pub(super) fn advance(&mut self, revision: Revision) {
        let Some(head) = &mut self.head else { return };
        debug_assert!(revision > head.revision, "revisions only grow");
        head.revision = revision;
        let written = self.write();
        self.log_failure(written);
    }

    fn log_failure(&mut self, result: io::Result<()>) -> bool {
        if let Err(error) = &result
            && !self.failing
        {
            log::warn!("cannot write {}, damage may go unnoticed: {error}", self.path.display());
        }
        self.failing = result.is_err();
        result.is_ok()
    }

    /// One write, of always the same length: a kill leaves the old text or the new one.
    fn write(&self) -> io::Result<()> {
        match (&self.file, &self.head) {
            (Some(file), Some(head)) => file.write_all_at(head.to_text().as_bytes(), 0),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> StoredHead {
        StoredHead {
            list_id: "0123456789abcdef".to_owned(),
            revision: 42,
            cookies: [7, 0xffff_fffe],
            closed: true,
        }
    }

    #[test]
    fn text_round_trips_and_damage_is_noticed() {
        let text = head().to_text();
        assert_eq!(StoredHead::from_text(&text), Some(head()));
        for at in 0..text.len() {
            let mut damaged = text.clone().into_bytes();
            damaged[at] ^= 1;
            let damaged = String::from_utf8(damaged).unwrap();
            assert_eq!(StoredHead::from_text(&damaged), None, "byte {at}");
            assert_eq!(StoredHead::from_text(&text[..at]), None, "cut to {at} bytes");
        }
    }

    #[test]
    fn file_keeps_the_newest_head() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = HeadFile::open(dir.path()).unwrap();
        assert!(!file.exists());
        file.replace(head()).unwrap();
        file.advance(43);
        let again = HeadFile::open(dir.path()).unwrap();
        assert_eq!(again.head(), Some(&StoredHead { revision: 43, ..head() }));
        std::fs::write(dir.path().join(NAME), "\u{1}").unwrap();
        let damaged = HeadFile::open(dir.path()).unwrap();
        assert!(damaged.exists() && damaged.head().is_none());
    }
}
