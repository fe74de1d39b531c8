//! The store that todod uses: one SQLite database in write-ahead mode, written by
//! one connection of one process.
//!
//! | file | holds |
//! |---|---|
//! | `directory` | the data directory, its locks, the identity of the open files |
//! | `inspect` | the database file's header, read before SQLite may write |
//! | `head` | what was acknowledged, in a file beside the database |
//! | `schema` | a new database, and the steps from older formats |
//! | `format3` | the tables, and the step that makes them from format 2 |
//! | `connection` | the connection, its settings, checkpoints |
//! | `recovery` | the list as it was left |
//! | `check`, `audit` | the full check of a list that no server uses |
//! | `repair` | corrects the times that a clock which was ahead left |
//! | `commit` | one batch, one transaction |
//! | `compaction` | deletes old changes, a step at a time |
//! | `transaction` | a transaction that writes, and what its failure means |
//! | `history` | reads the changes, on a connection of its own |
//! | `rows`, `list_row` | the rows of the tables and their checksums |
//! | `failure`, `error` | SQLite's errors in this crate's terms |

mod audit;
mod check;
mod commit;
mod compaction;
mod connection;
mod directory;
mod error;
mod failure;
mod format3;
mod head;
mod history;
mod inspect;
mod list_row;
mod recovery;
mod repair;
mod rows;
mod schema;
#[cfg(test)]
mod tests;
mod transaction;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::Receiver;
use parking_lot::Mutex;
use rusqlite::{Connection, params};

use self::connection::LogSize;
use self::directory::{Lock, OpenFiles};
use self::error::{CheckError, CommitError, SqliteError};
use self::failure::Fault;
use self::head::{ANY_COOKIE, HeadFile, StoredHead};
use self::history::SqliteHistory;
use self::inspect::Header;
use self::list_row::ListRow;
use self::rows::{Checked, REQUESTS, RequestRow};
use self::schema::Migration;
use super::{
    Batch, BatchLimits, CheckProgress, CheckReport, CompactionDue, Event, History, Loaded,
    RequestNumber, Store, StoreError, new_list_id,
};
use crate::limits::{BATCH_BYTES_MAX, BATCH_COMMANDS_MAX};
use crate::model::{IdempotencyRecord, Revision, Timestamp};

/// The database, in the data directory.
const DATABASE: &str = "todo.db";

/// A list in a data directory.
#[derive(Debug)]
pub struct SqliteStore {
    // Fields drop in this order: the locks are released when nothing is written any more.
    connection: Connection,
    path: PathBuf,
    condition: Condition,
    /// What happened and was not reported yet.
    events: VecDeque<Result<Event, StoreError>>,
    /// Every event is caused by a call of the owner.
    ready: Receiver<()>,
    /// Locked while the history is read.
    reading: Arc<Mutex<()>>,
    log: LogSize,
    head: HeadFile,
    files: OpenFiles,
    /// Closed after the connection: see [`Lock::lock_database`].
    _database: File,
    _lock: Lock,
}

/// What is known about the database. Only a loaded one is written or checkpointed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    /// Opened, not yet loaded. A damaged file must stay as it is.
    Unchecked,
    /// Loaded. The row of the list is the one that was last committed.
    Sound(ListRow),
    /// A write failed. Nothing may be written before recovery has read the disk again.
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
    /// lives, no other process can open it. A file that is refused keeps every byte.
    pub fn open(data_dir: &Path) -> Result<SqliteStore, StoreError> {
        Ok(SqliteStore::open_with(data_dir, IfMissing::Refuse, schema::MIGRATIONS)?)
    }

    /// The same, but also starts a new list if the database of an earlier one is missing.
    pub fn open_or_init(data_dir: &Path) -> Result<SqliteStore, StoreError> {
        Ok(SqliteStore::open_with(data_dir, IfMissing::StartNewList, schema::MIGRATIONS)?)
    }

    /// Checks all of a list that no server uses: a data directory, or a database file such
    /// as a backup. Changes nothing.
    pub fn check(
        path: &Path,
        progress: &mut dyn FnMut(CheckProgress),
    ) -> Result<CheckReport, StoreError> {
        Ok(check::check(path, progress).map_err(CheckError::from)?)
    }

    /// Replaces each time after `now` with `now` in the data directory of a stopped server.
    /// Returns the number of rows that it corrected.
    pub fn repair_times(data_dir: &Path, now: Timestamp) -> Result<u64, StoreError> {
        Ok(SqliteStore::correct_times(data_dir, now).map_err(CheckError::from)?)
    }

    fn open_with(
        data_dir: &Path,
        if_missing: IfMissing,
        migrations: &[Migration],
    ) -> Result<SqliteStore, SqliteError> {
        let (data_dir, mut lock) = directory::take(data_dir)?;
        let unusable = |error| SqliteError::Directory { path: data_dir.clone(), error };
        let path = data_dir.join(DATABASE);
        let mut head = HeadFile::open(&data_dir).map_err(unusable)?;
        let header = match inspect::inspect(&path)? {
            Some(header) => {
                inspect::require_writable(&path)?;
                refuse_stray_log(&path, head.head(), header.schema_cookie)?;
                header
            }
            None if head.exists() && if_missing == IfMissing::Refuse => {
                return Err(SqliteError::Missing { path });
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
            condition: Condition::Unchecked,
            events: VecDeque::new(),
            ready: crossbeam_channel::never(),
            reading: Arc::default(),
            log: LogSize::default(),
            head,
            _database: database,
            _lock: lock,
        })
    }

    fn read(&mut self) -> Result<Loaded, SqliteError> {
        let (list, mut loaded) =
            recovery::load(&self.connection).map_err(|fault| fault.at(&self.path))?;
        let list = self.report_loss(list).map_err(|fault| fault.at(&self.path))?;
        loaded.list_id = list.list_id.clone();
        self.settle(&list).map_err(|fault| fault.at(&self.path))?;
        self.files = OpenFiles::of(&self.path);
        self.condition = Condition::Sound(list);
        Ok(loaded)
    }

    /// Compares the loaded list with what was acknowledged. Returns the row of the list: with
    /// a new id if acknowledged changes are missing, since their revisions will be used again
    /// for others, and if another list was here: this one may be a backup of an even earlier
    /// one. The list opens, so that restoring a backup needs no extra step.
    fn report_loss(&self, list: ListRow) -> Result<ListRow, Fault> {
        let known = match self.head.head() {
            Some(known) if *known.list_id == *list.list_id => known,
            Some(known) => {
                log::warn!(
                    "list {} replaces list {} here and gets a new id: clients start from the list as it is",
                    list.list_id,
                    known.list_id
                );
                return self.with_new_id(list);
            }
            None => return Ok(list),
        };
        let newest = list.head.revision;
        if known.revision <= newest {
            return Ok(list);
        }
        log::error!(
            "ACKNOWLEDGED CHANGES ARE MISSING: {} was at revision {} and is at {newest}: unless a backup was restored, the database or its log is damaged or was replaced",
            self.path.display(),
            known.revision
        );
        self.keep_log();
        self.with_new_id(list)
    }

    fn with_new_id(&self, list: ListRow) -> Result<ListRow, Fault> {
        let list = ListRow { list_id: fresh_list_id()?, ..list };
        list.write(&self.connection)?;
        Ok(list)
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
    fn settle(&mut self, list: &ListRow) -> Result<(), Fault> {
        let complete = connection::settle(&self.connection)?;
        let (old, new) = (connection::schema_cookie(&self.connection)?, new_cookie()?);
        let cookies = match self.head.head() {
            _ if complete => [old, new],
            Some(known) => known.cookies,
            None => [ANY_COOKIE; 2],
        };
        let list_id = (*list.list_id).to_owned();
        let head = StoredHead { list_id, revision: list.head.revision, cookies, closed: false };
        let noted = self.head.note(head.clone());
        if noted
            && complete
            && connection::set_schema_cookie(&self.connection, new)?
            && connection::checkpoint(&self.connection)?
        {
            self.head.note(StoredHead { cookies: [new; 2], ..head });
        }
        Ok(())
    }

    /// Writes, if the condition allows it. Returns the compacted revision after the write.
    fn write(
        &mut self,
        write: impl FnOnce(&Connection, &ListRow) -> Result<ListRow, CommitError>,
    ) -> Result<Revision, CommitError> {
        let list = match &self.condition {
            Condition::Sound(list) => list,
            Condition::Unchecked => {
                return Err(CommitError::Unknown("the store was not loaded".to_owned()));
            }
            Condition::Unknown => {
                return Err(CommitError::Unknown("an earlier write failed: restart".to_owned()));
            }
        };
        if self.log.refusal().is_some() {
            self.log.shorten(&self.connection, &self.path, &self.reading);
        }
        if let Some(refusal) = self.log.refusal() {
            return Err(CommitError::NoSpace(refusal));
        }
        // The files are checked after the write: one that was lost is not acknowledged.
        let written = write(&self.connection, list)
            .and_then(|after| self.files.check().map(|()| after).map_err(CommitError::Unknown));
        match written {
            Ok(after) => {
                if after.head.revision > list.head.revision {
                    self.head.advance(after.head.revision);
                }
                let compacted = after.compacted;
                self.condition = Condition::Sound(after);
                self.log.shorten(&self.connection, &self.path, &self.reading);
                Ok(compacted)
            }
            Err(error @ CommitError::Unknown(_)) => {
                self.condition = Condition::Unknown;
                connection::keep_as_it_is(&self.connection);
                Err(error)
            }
            Err(nothing_written) => Err(nothing_written),
        }
    }

    /// Checkpoints, if the condition allows it, and closes the files.
    fn finish(self) -> Result<(), SqliteError> {
        // The locks stay in `self`, which is dropped after the connection is closed.
        let SqliteStore { connection, path, condition, files, mut head, .. } = self;
        let is_sound = matches!(condition, Condition::Sound(_));
        if is_sound {
            let moved = files.check().map_err(Fault::Unfit);
            if let Err(fault) = moved.and_then(|()| connection::checkpoint(&connection)) {
                connection::keep_as_it_is(&connection);
                return Err(fault.at(&path));
            }
        }
        connection.close().map_err(|(_, error)| Fault::from(error).at(&path))?;
        if is_sound
            && !inspect::has_log(&path)
            && let Some(known) = head.head().cloned()
        {
            head.note(StoredHead { closed: true, ..known });
        }
        Ok(())
    }

    fn read_request(&self, number: RequestNumber) -> Result<Option<IdempotencyRecord>, Fault> {
        let kept = match &self.condition {
            Condition::Sound(list) => list.forgotten_request + 1..=list.last_request,
            Condition::Unchecked | Condition::Unknown => {
                return Err(Fault::Unfit("the store is not loaded".to_owned()));
            }
        };
        let mut select =
            self.connection.prepare_cached(&format!("{REQUESTS} WHERE number = ?1"))?;
        let mut rows = select.query(params![number])?;
        match rows.next()? {
            Some(row) => RequestRow::read(row)?.request().map(Some),
            None if kept.contains(&number) => {
                Err(Fault::Damage(format!("{} {number} is missing", RequestRow::NAME)))
            }
            None => Ok(None),
        }
    }
}

/// Refuses a write-ahead log that belongs to another database file, before SQLite applies
/// it. Without a [`StoredHead`] there is nothing to compare with.
fn refuse_stray_log(
    path: &Path,
    head: Option<&StoredHead>,
    cookie: u32,
) -> Result<(), SqliteError> {
    match head {
        Some(head) if inspect::has_log(path) && !head.fits(cookie) => {
            Err(SqliteError::StrayLog { path: path.to_owned() })
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
    head.replace(StoredHead { cookies, closed: false, ..known })
}

fn fresh_list_id() -> Result<Arc<str>, Fault> {
    Ok(new_list_id().map_err(failure::no_random)?.into())
}

/// A random cookie of 31 bits: SQLite's cookie is a signed integer.
fn new_cookie() -> Result<u32, Fault> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(failure::no_random)?;
    Ok((u32::from_be_bytes(bytes) >> 1).max(ANY_COOKIE + 1))
}

impl Store for SqliteStore {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        Ok(self.read()?)
    }

    fn batch_limits(&self) -> BatchLimits {
        BatchLimits { commands: BATCH_COMMANDS_MAX, bytes: BATCH_BYTES_MAX }
    }

    fn propose(&mut self, batch: Arc<Batch>) {
        let written = self.write(|connection, list| commit::commit(connection, list, &batch));
        self.events.push_back(match written {
            Ok(_) => Ok(Event::Committed),
            Err(error @ (CommitError::NoSpace(_) | CommitError::Busy(_))) => {
                Ok(Event::Refused(error.into()))
            }
            Err(error) => Err(error.into()),
        });
    }

    fn is_sole_writer(&self) -> bool {
        true
    }

    fn request_barrier(&mut self) {
        self.events.push_back(Ok(Event::BarrierPassed));
    }

    fn next(&mut self) -> Result<Option<Event>, StoreError> {
        self.events.pop_front().transpose()
    }

    fn ready(&self) -> &Receiver<()> {
        &self.ready
    }

    fn next_deadline(&self) -> Option<Instant> {
        None
    }

    fn on_deadline(&mut self, _now: Instant) -> Result<(), StoreError> {
        Ok(())
    }

    fn find_request(
        &mut self,
        number: RequestNumber,
    ) -> Result<Option<IdempotencyRecord>, StoreError> {
        Ok(self.read_request(number).map_err(|fault| fault.at(&self.path).while_open())?)
    }

    fn history(&mut self) -> Result<Box<dyn History>, StoreError> {
        Ok(Box::new(SqliteHistory::open(&self.path, self.reading.clone())?))
    }

    fn compact(&mut self, due: &CompactionDue) -> Result<Revision, StoreError> {
        Ok(self.write(|connection, list| compaction::step(connection, list, due))?)
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Ok(self.finish()?)
    }
}
