//! The store that todod uses: one SQLite database in write-ahead mode, written by
//! one connection of one process.
//!
//! | file | holds |
//! |---|---|
//! | `directory` | the data directory and the lock that keeps other processes out |
//! | `inspect` | what a file is, before SQLite may write to it |
//! | `schema` | a new database, and the steps from older formats |
//! | `format3` | the tables, and the step that makes them from format 2 |
//! | `connection` | the connection, its settings, checkpoints |
//! | `recovery` | the list as it was left |
//! | `commit` | one batch, one transaction |
//! | `compaction` | deletes old changes, a step at a time |
//! | `transaction` | a transaction that writes, and what its failure means |
//! | `history` | reads the changes, on a connection of its own |
//! | `rows`, `list_row` | the rows of the tables and their checksums |
//! | `failure`, `error` | SQLite's errors in this crate's terms |

mod commit;
mod compaction;
mod connection;
mod directory;
mod error;
mod failure;
mod format3;
mod history;
mod inspect;
mod list_row;
mod recovery;
mod rows;
mod schema;
#[cfg(test)]
mod tests;
mod transaction;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::Receiver;
use parking_lot::Mutex;
use rusqlite::{Connection, params};

use self::directory::Lock;
use self::error::{CommitError, SqliteError};
use self::failure::Fault;
use self::history::SqliteHistory;
use self::list_row::ListRow;
use self::rows::{Checked, REQUESTS, RequestRow};
use self::schema::Migration;
use super::{
    Batch, BatchLimits, CompactionDue, Event, History, Loaded, RequestNumber, Store, StoreError,
};
use crate::limits::{BATCH_BYTES_MAX, BATCH_COMMANDS_MAX};
use crate::model::{IdempotencyRecord, Revision};

/// The database, in the data directory.
const DATABASE: &str = "todo.db";

/// A list in a data directory.
#[derive(Debug)]
pub struct SqliteStore {
    // Fields drop in this order: the lock is released last, when nothing is written any more.
    connection: Connection,
    path: PathBuf,
    condition: Condition,
    /// What happened and was not reported yet.
    events: VecDeque<Result<Event, StoreError>>,
    /// Every event is caused by a call of the owner.
    ready: Receiver<()>,
    /// Locked while the history is read.
    reading: Arc<Mutex<()>>,
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

impl SqliteStore {
    /// Opens the list in `data_dir`, or starts one there. While the value lives, no other
    /// process can open it. A file that is refused stays byte for byte as it was.
    pub fn open(data_dir: &Path) -> Result<SqliteStore, StoreError> {
        Ok(SqliteStore::open_with(data_dir, schema::MIGRATIONS)?)
    }

    fn open_with(data_dir: &Path, migrations: &[Migration]) -> Result<SqliteStore, SqliteError> {
        let (data_dir, lock) = directory::take(data_dir)?;
        let path = data_dir.join(DATABASE);
        let format = match inspect::inspect(&path)? {
            Some(format) => format,
            None => schema::create(&path, migrations)?,
        };
        schema::refuse_newer(&path, format, migrations)?;
        let connection = connection::open(&path)?;
        schema::bring_up_to_date(&connection, &path, migrations)?;
        connection::configure(&connection).map_err(|fault| fault.at(&path))?;
        Ok(SqliteStore {
            connection,
            path,
            condition: Condition::Unchecked,
            events: VecDeque::new(),
            ready: crossbeam_channel::never(),
            reading: Arc::default(),
            _lock: lock,
        })
    }

    fn read(&mut self) -> Result<Loaded, SqliteError> {
        let (list, loaded) =
            recovery::load(&self.connection).map_err(|fault| fault.at(&self.path))?;
        connection::settle(&self.connection).map_err(|fault| fault.at(&self.path))?;
        self.condition = Condition::Sound(list);
        Ok(loaded)
    }

    /// Writes, if the condition allows it. Returns the compacted revision after the write.
    fn write(
        &mut self,
        write: impl FnOnce(&Connection, &ListRow) -> Result<ListRow, CommitError>,
    ) -> Result<Revision, CommitError> {
        let refused = match &self.condition {
            Condition::Sound(list) => match write(&self.connection, list) {
                Ok(after) => {
                    let compacted = after.compacted;
                    self.condition = Condition::Sound(after);
                    connection::shorten_log(&self.connection, &self.path, &self.reading);
                    return Ok(compacted);
                }
                Err(CommitError::Unknown(why)) => why,
                Err(nothing_written) => return Err(nothing_written),
            },
            Condition::Unchecked => "the store was not loaded".to_owned(),
            Condition::Unknown => "an earlier write failed: restart".to_owned(),
        };
        if let Condition::Sound(_) = self.condition {
            self.condition = Condition::Unknown;
            connection::keep_as_it_is(&self.connection);
        }
        Err(CommitError::Unknown(refused))
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
        // The lock stays in `self`, which is dropped after these.
        let SqliteStore { connection, path, condition, .. } = *self;
        if let Condition::Sound(_) = condition
            && let Err(fault) = connection::checkpoint(&connection)
        {
            connection::keep_as_it_is(&connection);
            return Err(fault.at(&path).into());
        }
        let closed = connection.close();
        Ok(closed.map_err(|(_, error)| Fault::from(error).at(&path))?)
    }
}
