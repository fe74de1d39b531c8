//! The store that todod uses: one SQLite database in write-ahead mode, written by
//! one connection of one process.
//!
//! | file | holds |
//! |---|---|
//! | `directory` | the data directory, its locks, the identity of the open files |
//! | `inspect` | the database file's header, read before SQLite may write |
//! | `head` | what was acknowledged, in a file beside the database |
//! | `schema` | the tables, a new database, migrations |
//! | `connection` | the connection, its settings, checkpoints |
//! | `recovery` | the list as it was left, checked for consistency |
//! | `check` | the full check of a list that no server uses |
//! | `commit` | one batch, one transaction |
//! | `compaction` | deletes old changes, a step at a time |
//! | `transaction` | a transaction that writes, and what its failure means |
//! | `history` | reads the changes, on a connection of its own |
//! | `rows` | tasks to columns and back |
//! | `failure` | SQLite's errors in this crate's terms |

mod check;
mod commit;
mod compaction;
mod connection;
mod directory;
mod failure;
mod head;
mod history;
mod inspect;
mod recovery;
mod rows;
mod schema;
#[cfg(test)]
mod tests;
mod transaction;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;

use self::commit::Retention;
use self::connection::LogSize;
use self::directory::{Lock, OpenFiles};
use self::failure::Fault;
use self::head::{ANY_COOKIE, Head, HeadFile};
use self::history::SqliteHistory;
use self::inspect::Header;
use super::{Batch, Checked, CommitError, CompactionDue, History, Loaded, Store, StoreError};
use crate::model::{Remembered, RequestId, Revision};

/// The database, in the data directory.
const DATABASE: &str = "todo.db";

/// A list in a data directory. The module's table lists its parts.
#[derive(Debug)]
pub struct SqliteStore {
    // Fields drop in this order: the locks are released when nothing is written any more.
    connection: Connection,
    path: PathBuf,
    retention: Retention,
    condition: Condition,
    compacted: Revision,
    /// Locked while the history is read.
    reading: Arc<Mutex<()>>,
    log: LogSize,
    head: HeadFile,
    files: OpenFiles,
    /// Closed after the connection: see [`Lock::lock_database`].
    _database: File,
    _lock: Lock,
}

/// What is known about the database. Only a sound one is written or checkpointed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    /// Opened, not yet loaded. A damaged file must stay as it is.
    Unchecked,
    /// Loaded, and consistent.
    Sound,
    /// A write failed. Nothing may be written before recovery has read the files again.
    Unknown,
}

/// What to do where a list was kept whose database is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IfMissing {
    Refuse,
    StartNewList,
}

impl SqliteStore {
    /// Opens the list in `data_dir`, or starts one if there never was one. While the value
    /// lives no other process can open it. A file that is refused keeps every byte.
    pub fn open(data_dir: &Path) -> Result<SqliteStore, StoreError> {
        let retention = Retention::default();
        SqliteStore::open_with(data_dir, IfMissing::Refuse, retention, schema::MIGRATIONS)
    }

    /// The same, but also starts a new list if the database of an earlier one is missing.
    pub fn open_or_init(data_dir: &Path) -> Result<SqliteStore, StoreError> {
        let retention = Retention::default();
        SqliteStore::open_with(data_dir, IfMissing::StartNewList, retention, schema::MIGRATIONS)
    }

    /// Checks all of a list that no server uses: a data directory, or a database file such
    /// as a backup. Returns what is wrong as an error, and changes nothing.
    pub fn check(path: &Path) -> Result<Checked, StoreError> {
        check::check(path)
    }

    fn open_with(
        data_dir: &Path,
        if_missing: IfMissing,
        retention: Retention,
        migrations: &[&str],
    ) -> Result<SqliteStore, StoreError> {
        let (data_dir, mut lock) = directory::take(data_dir)?;
        let unusable = |error| StoreError::Directory { path: data_dir.clone(), error };
        let path = data_dir.join(DATABASE);
        let mut head = HeadFile::open(&data_dir).map_err(unusable)?;
        let header = match inspect::inspect(&path)? {
            Some(header) => {
                inspect::require_writable(&path)?;
                refuse_stray_log(&path, head.head(), header.schema_cookie)?;
                header
            }
            None if head.exists() && if_missing == IfMissing::Refuse => {
                return Err(StoreError::Missing { path });
            }
            None => {
                Header { format: schema::create(&path, migrations)?, schema_cookie: ANY_COOKIE }
            }
        };
        schema::refuse_newer(&path, header.format, migrations)?;
        let database = lock.lock_database(&path)?;
        let migrates = header.format < schema::format_after(migrations);
        let cookie = if migrates { ANY_COOKIE } else { header.schema_cookie };
        note_use(&mut head, &path, cookie).map_err(unusable)?;
        let connection = connection::open(&path)?;
        schema::bring_up_to_date(&connection, &path, migrations)?;
        connection::configure(&connection).map_err(|fault| fault.at(&path))?;
        Ok(SqliteStore {
            connection,
            files: OpenFiles::of(&path),
            path,
            retention,
            condition: Condition::Unchecked,
            compacted: 0, // until it is loaded
            reading: Arc::default(),
            log: LogSize::default(),
            head,
            _database: database,
            _lock: lock,
        })
    }

    /// Compares the loaded list with what was acknowledged. Returns the id of the list:
    /// a new one if acknowledged changes are missing, since their revisions will be used
    /// again for others. The list opens, so that restoring a backup needs no extra step.
    fn report_loss(&self, loaded: &Loaded, newest: Revision) -> Result<Arc<str>, Fault> {
        let known = match self.head.head() {
            Some(known) if *known.list_id == *loaded.list_id => known,
            Some(known) => {
                log::warn!("list {} replaces list {} here", loaded.list_id, known.list_id);
                return Ok(loaded.list_id.clone());
            }
            None => return Ok(loaded.list_id.clone()),
        };
        if known.revision <= newest {
            return Ok(loaded.list_id.clone());
        }
        log::error!(
            "ACKNOWLEDGED CHANGES ARE MISSING: {} was at revision {} and is at {newest}: unless a backup was restored, the database or its log is damaged or was replaced",
            self.path.display(),
            known.revision
        );
        self.keep_log();
        schema::change_list_id(&self.connection)
    }

    /// Keeps a copy of the write-ahead log, which the next checkpoint empties: what is
    /// missing may be in it, behind the damage.
    fn keep_log(&self) {
        let log = inspect::beside(&self.path, "-wal");
        let copy = inspect::beside(&self.path, "-wal-damaged");
        if !inspect::has_log(&self.path) || copy.exists() {
            return;
        }
        match fs::copy(&log, &copy) {
            Ok(_) => log::error!("{} is a copy of its log, for a rescue", copy.display()),
            Err(error) => log::error!("cannot copy {}: {error}", log.display()),
        }
    }

    /// Checkpoints, and gives the database file a new cookie that `todo.head` knows. At
    /// each moment the file's cookie is one of those that `todo.head` holds.
    fn settle(&mut self, list_id: &str, revision: Revision) -> Result<(), Fault> {
        let complete = connection::settle(&self.connection)?;
        let (old, new) = (connection::schema_cookie(&self.connection)?, new_cookie()?);
        let cookies = match self.head.head() {
            _ if complete => [old, new],
            Some(known) => known.cookies,
            None => [ANY_COOKIE; 2],
        };
        let head = Head { list_id: list_id.to_owned(), revision, cookies, closed: false };
        let noted = self.head.note(head.clone());
        if noted
            && complete
            && connection::set_schema_cookie(&self.connection, new)?
            && connection::checkpoint(&self.connection)?
        {
            self.head.note(Head { cookies: [new; 2], ..head });
        }
        Ok(())
    }

    /// Writes, if the condition allows it, and keeps the condition.
    fn write<T>(
        &mut self,
        write: impl FnOnce(&SqliteStore) -> Result<T, CommitError>,
    ) -> Result<T, CommitError> {
        if self.condition != Condition::Sound {
            let why = match self.condition {
                Condition::Unchecked => "the store was not loaded",
                Condition::Sound | Condition::Unknown => "an earlier write failed: restart",
            };
            return Err(CommitError::Unknown(why.to_owned()));
        }
        if self.log.refusal().is_some() {
            self.log.shorten(&self.connection, &self.path, &self.reading);
        }
        if let Some(refusal) = self.log.refusal() {
            return Err(CommitError::NoSpace(refusal));
        }
        // The files are checked after the write: one that was lost is not acknowledged.
        let result = write(self)
            .and_then(|written| self.files.check().map(|()| written).map_err(CommitError::Unknown));
        match &result {
            Ok(_) => self.log.shorten(&self.connection, &self.path, &self.reading),
            Err(CommitError::Unknown(_)) => {
                self.condition = Condition::Unknown;
                connection::keep_as_it_is(&self.connection);
            }
            Err(CommitError::NoSpace(_) | CommitError::Busy(_)) => {}
        }
        result
    }
}

/// Refuses a write-ahead log that belongs to another database file, before SQLite applies
/// it. Without a [`Head`] there is nothing to compare with.
fn refuse_stray_log(path: &Path, head: Option<&Head>, cookie: u32) -> Result<(), StoreError> {
    match head {
        Some(head) if inspect::has_log(path) && !head.fits(cookie) => {
            Err(StoreError::StrayLog { path: path.to_owned() })
        }
        Some(_) | None => Ok(()),
    }
}

/// Before SQLite opens a database file with this cookie, and may give it a log. A migration
/// changes the cookie in ways that are not known beforehand: then it is [`ANY_COOKIE`].
fn note_use(head: &mut HeadFile, path: &Path, cookie: u32) -> std::io::Result<()> {
    let Some(known) = head.head().cloned() else { return Ok(()) };
    let cookies = match inspect::has_log(path) && cookie != ANY_COOKIE {
        true => known.cookies, // one of them is the file's
        false => [cookie; 2],
    };
    head.replace(Head { cookies, closed: false, ..known })
}

/// A random cookie of 31 bits: SQLite's cookie is a signed integer.
fn new_cookie() -> Result<u32, Fault> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(failure::no_random)?;
    Ok((u32::from_be_bytes(bytes) >> 1).max(ANY_COOKIE + 1))
}

impl Store for SqliteStore {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        let at_path = |fault: Fault| fault.at(&self.path);
        let mut loaded = recovery::load(&self.connection).map_err(at_path)?;
        let newest = loaded.revision();
        loaded.list_id = self.report_loss(&loaded, newest).map_err(at_path)?;
        self.settle(&loaded.list_id, newest).map_err(|fault| fault.at(&self.path))?;
        self.files = OpenFiles::of(&self.path);
        self.condition = Condition::Sound;
        self.compacted = loaded.compacted;
        Ok(loaded)
    }

    fn find_request(&mut self, id: &RequestId) -> Result<Option<Remembered>, StoreError> {
        rows::find_request(&self.connection, id).map_err(|fault| fault.at(&self.path))
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        self.write(|store| commit::commit(&store.connection, batch, &store.retention))?;
        if let Some(newest) = batch.changes.last() {
            self.head.advance(newest.revision());
        }
        Ok(())
    }

    fn history(&mut self) -> Result<Box<dyn History>, StoreError> {
        Ok(Box::new(SqliteHistory::open(&self.path, self.reading.clone())?))
    }

    fn compact(&mut self, due: &CompactionDue) -> Result<Revision, CommitError> {
        self.compacted =
            self.write(|store| compaction::step(&store.connection, store.compacted, due))?;
        Ok(self.compacted)
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        // The locks stay in `self`, which is dropped after the connection is closed.
        let SqliteStore { connection, path, condition, files, mut head, .. } = *self;
        if condition == Condition::Sound {
            let moved = files.check().map_err(Fault::Unfit);
            if let Err(fault) = moved.and_then(|()| connection::checkpoint(&connection)) {
                connection::keep_as_it_is(&connection);
                return Err(fault.at(&path));
            }
        }
        connection.close().map_err(|(_, error)| Fault::from(error).at(&path))?;
        if condition == Condition::Sound
            && !inspect::has_log(&path)
            && let Some(known) = head.head().cloned()
        {
            head.note(Head { closed: true, ..known });
        }
        Ok(())
    }
}
