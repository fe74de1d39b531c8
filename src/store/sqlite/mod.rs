//! The store that todod uses: one SQLite database in write-ahead mode, written by
//! one connection of one process.
//!
//! | file | holds |
//! |---|---|
//! | `directory` | the data directory and the lock that keeps other processes out |
//! | `inspect` | what a file is, before SQLite may touch it |
//! | `schema` | the tables, a new database, the way from older formats |
//! | `connection` | the connection, its settings, checkpoints |
//! | `recovery` | the list as it was left, and the proof that it is whole |
//! | `commit` | one batch, one transaction |
//! | `compaction` | old changes go, a step at a time |
//! | `transaction` | a transaction that writes, and what its failure means |
//! | `history` | reads the changes, on a connection of its own |
//! | `rows` | tasks to columns and back |
//! | `failure` | SQLite's errors in this crate's terms |

mod commit;
mod compaction;
mod connection;
mod directory;
mod failure;
mod history;
mod inspect;
mod recovery;
mod rows;
mod schema;
#[cfg(test)]
mod tests;
mod transaction;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;

use self::commit::Retention;
use self::directory::Lock;
use self::history::SqliteHistory;
use super::{Batch, CommitError, CompactionDue, History, Loaded, Store, StoreError};
use crate::model::{Remembered, RequestId, Revision};

/// The database, in the data directory.
const DATABASE: &str = "todo.db";

/// A list in a data directory. See the module's table for where what is.
#[derive(Debug)]
pub struct SqliteStore {
    // Fields drop in this order: the lock goes last, when nothing is written any more.
    connection: Connection,
    path: PathBuf,
    retention: Retention,
    condition: Condition,
    compacted: Revision,
    /// Locked while the history is read.
    reading: Arc<Mutex<()>>,
    _lock: Lock,
}

/// What is known about the database. Only a sound one is written or checkpointed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    /// Opened, not yet loaded. A damaged file must stay as it is.
    Unchecked,
    /// Loaded, and all of it agrees.
    Sound,
    /// A write failed. Nobody may write here before recovery has looked again.
    Unknown,
}

impl SqliteStore {
    /// Opens the list in `data_dir`, or starts one there. While the value lives no
    /// other process can open it. A file that is refused stays byte for byte as it was.
    pub fn open(data_dir: &Path) -> Result<SqliteStore, StoreError> {
        SqliteStore::open_with(data_dir, Retention::default(), schema::MIGRATIONS)
    }

    fn open_with(
        data_dir: &Path,
        retention: Retention,
        migrations: &[&str],
    ) -> Result<SqliteStore, StoreError> {
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
            retention,
            condition: Condition::Unchecked,
            compacted: 0, // until it is loaded
            reading: Arc::default(),
            _lock: lock,
        })
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
        let result = write(self);
        match &result {
            Ok(_) => connection::shorten_log(&self.connection, &self.path, &self.reading),
            Err(CommitError::Unknown(_)) => {
                self.condition = Condition::Unknown;
                connection::keep_as_it_is(&self.connection);
            }
            Err(CommitError::NoSpace(_) | CommitError::Busy(_)) => {}
        }
        result
    }
}

impl Store for SqliteStore {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        let loaded = recovery::load(&self.connection).map_err(|fault| fault.at(&self.path))?;
        connection::settle(&self.connection).map_err(|fault| fault.at(&self.path))?;
        self.condition = Condition::Sound;
        self.compacted = loaded.compacted;
        Ok(loaded)
    }

    fn find_request(&mut self, id: &RequestId) -> Result<Option<Remembered>, StoreError> {
        rows::find_request(&self.connection, id).map_err(|fault| fault.at(&self.path))
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        self.write(|store| commit::commit(&store.connection, batch, &store.retention))
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
        // The lock stays in `self`, which goes after these.
        let SqliteStore { connection, path, condition, .. } = *self;
        if condition == Condition::Sound
            && let Err(fault) = connection::checkpoint(&connection)
        {
            connection::keep_as_it_is(&connection);
            return Err(fault.at(&path));
        }
        connection.close().map_err(|(_, error)| failure::Fault::from(error).at(&path))
    }
}
