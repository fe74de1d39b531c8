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
//! | `commit` | one batch, one transaction; what a failure means |
//! | `rows` | tasks to columns and back |
//! | `failure` | SQLite's errors in this crate's terms |

mod commit;
mod connection;
mod directory;
mod failure;
mod inspect;
mod recovery;
mod rows;
mod schema;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use self::commit::Retention;
use self::directory::Lock;
use super::{Batch, CommitError, Loaded, Store, StoreError};
use crate::model::{Remembered, RequestId};

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
    _lock: Lock,
}

/// What is known about the database. Only a sound one is written or checkpointed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    /// Opened, not yet loaded. A damaged file must stay as it is.
    Unchecked,
    /// Loaded, and all of it agrees.
    Sound,
    /// A commit failed. Nobody may write here before recovery has looked again.
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
            _lock: lock,
        })
    }
}

impl Store for SqliteStore {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        let loaded = recovery::load(&self.connection).map_err(|fault| fault.at(&self.path))?;
        connection::settle(&self.connection).map_err(|fault| fault.at(&self.path))?;
        self.condition = Condition::Sound;
        Ok(loaded)
    }

    fn find_request(&mut self, id: &RequestId) -> Result<Option<Remembered>, StoreError> {
        rows::find_request(&self.connection, id).map_err(|fault| fault.at(&self.path))
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        if self.condition != Condition::Sound {
            let why = match self.condition {
                Condition::Unchecked => "the store was not loaded",
                Condition::Sound | Condition::Unknown => "an earlier commit failed: restart",
            };
            return Err(CommitError::Unknown(why.to_owned()));
        }
        let result = commit::commit(&self.connection, batch, &self.retention);
        if let Err(CommitError::Unknown(_)) = result {
            self.condition = Condition::Unknown;
            connection::keep_as_it_is(&self.connection);
        }
        result
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
