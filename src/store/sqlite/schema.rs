use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, params};

use super::failure::{Fault, no_random};
use super::{connection, directory, inspect};
use crate::store::{StoreError, new_list_id};

/// The migrations. The one at index i leads from format i to format i + 1; format 0 is
/// an empty database. A released migration never changes.
pub(super) const MIGRATIONS: &[&str] = &[V1, V2];

/// Times are microseconds since the Unix epoch. `changes` holds the task after each
/// change and the flags before it, enough to replay the list and its history.
const V1: &str = "
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
CREATE TABLE tasks (
    id INTEGER PRIMARY KEY CHECK (id BETWEEN 1 AND 2147483647),
    title TEXT NOT NULL CHECK (title <> ''),
    deleted INTEGER NOT NULL CHECK (deleted IN (0, 1)),
    revision INTEGER NOT NULL CHECK (revision >= 1),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL CHECK (updated_at >= created_at),
    completed_at INTEGER
) STRICT;
CREATE TABLE changes (
    revision INTEGER PRIMARY KEY CHECK (revision >= 1),
    action TEXT NOT NULL,
    task_id INTEGER NOT NULL,
    title TEXT NOT NULL,
    deleted INTEGER NOT NULL CHECK (deleted IN (0, 1)),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    completed_at INTEGER,
    was_completed INTEGER CHECK (was_completed IN (0, 1)),
    was_deleted INTEGER CHECK (was_deleted IN (0, 1)),
    request_id TEXT,
    CHECK ((action = 'ADDED') = (was_completed IS NULL)),
    CHECK ((was_deleted IS NULL) = (was_completed IS NULL))
) STRICT;
CREATE TABLE requests (
    seq INTEGER PRIMARY KEY,
    request_id TEXT NOT NULL UNIQUE,
    content TEXT NOT NULL,
    at INTEGER NOT NULL,
    task_id INTEGER NOT NULL,
    title TEXT NOT NULL,
    deleted INTEGER NOT NULL CHECK (deleted IN (0, 1)),
    revision INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    completed_at INTEGER
) STRICT;
";

/// Every change after `compacted_revision` is kept. The index ends in the row's key,
/// which is the revision, so it finds the change of a task before any revision.
const V2: &str = "
CREATE INDEX changes_by_task ON changes (task_id);
INSERT INTO meta (key, value) VALUES ('compacted_revision', '0');
";

/// Creates a database at `path` and returns its format. It is written under another name
/// and renamed when it is complete and synced: after a crash there is a list or none.
pub(super) fn create(path: &Path, migrations: &[&str]) -> Result<i64, StoreError> {
    let draft = inspect::beside(path, "-new");
    let failed = |error: io::Error| Fault::Unfit(error.to_string());
    let made = || -> Result<i64, Fault> {
        for suffix in ["", "-journal", "-wal", "-shm"] {
            remove_if_there(&inspect::beside(&draft, suffix)).map_err(failed)?;
        }
        make_private(&draft).map_err(failed)?;
        let format = fill(&draft, migrations)?;
        File::open(&draft).and_then(|file| file.sync_all()).map_err(failed)?;
        fs::rename(&draft, path).map_err(failed)?;
        directory::sync_parent(path).map_err(failed)?;
        Ok(format)
    };
    made().map_err(|fault| fault.at(path))
}

/// Only the owner may read the list, even in a directory that others can read. SQLite
/// gives the files beside a database the mode of the database.
fn make_private(draft: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft).map(|_| ())
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Creates everything in one transaction.
fn fill(draft: &Path, migrations: &[&str]) -> Result<i64, Fault> {
    let connection = Connection::open(draft)?;
    let format = format_after(migrations);
    let transaction = connection.unchecked_transaction()?;
    for migration in migrations {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", inspect::APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", format)?;
    transaction.execute(
        "INSERT INTO meta (key, value) VALUES ('list_id', ?1)",
        params![new_list_id().map_err(no_random)?],
    )?;
    transaction.commit()?;
    connection.close().map_err(|(_, error)| error)?;
    Ok(format)
}

/// Gives the list a new id: its history is not the one that clients know. Returns it.
pub(super) fn change_list_id(connection: &Connection) -> Result<Arc<str>, Fault> {
    let id = new_list_id().map_err(no_random)?;
    connection.execute("UPDATE meta SET value = ?1 WHERE key = 'list_id'", params![id])?;
    Ok(id.into())
}

/// The format that these migrations lead to.
pub(super) fn format_after(migrations: &[&str]) -> i64 {
    migrations.len() as i64
}

pub(super) fn refuse_newer(path: &Path, found: i64, migrations: &[&str]) -> Result<(), StoreError> {
    let known = format_after(migrations);
    if found > known {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    Ok(())
}

/// Migrates an older database to this program's format, each step in its own
/// transaction. SQLite checks the whole file first.
pub(super) fn bring_up_to_date(
    connection: &Connection,
    path: &Path,
    migrations: &[&str],
) -> Result<(), StoreError> {
    let at_path = |fault: Fault| fault.at(path);
    // Again: the write-ahead log may hold a newer format than the header of the file.
    let format = connection::format(connection).map_err(at_path)?;
    refuse_newer(path, format, migrations)?;
    let write_ahead = connection::has_write_ahead_log(connection).map_err(at_path)?;
    if format == format_after(migrations) && write_ahead {
        return Ok(());
    }
    connection::check_file(connection, 1).map_err(at_path)?;
    for (from, migration) in migrations.iter().enumerate().skip(format as usize) {
        migrate(connection, migration, from as i64 + 1).map_err(|error| at_path(error.into()))?;
    }
    // The mode is a property of the file: a new one lacks it, another tool may change it.
    connection::use_write_ahead_log(connection).map_err(at_path)
}

fn migrate(connection: &Connection, migration: &str, format: i64) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    transaction.execute_batch(migration)?;
    transaction.pragma_update(None, "user_version", format)?;
    transaction.commit()
}
