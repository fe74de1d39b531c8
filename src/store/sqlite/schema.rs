use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::{Connection, params};

use super::error::SqliteError;
use super::failure::Fault;
use super::{connection, directory, failure, format3, inspect};
use crate::store::new_list_id;

/// The steps from format to format. The step at index i leads from format i to format
/// i + 1; format 0 is an empty database. A released step never changes.
pub(super) const MIGRATIONS: &[Migration] =
    &[Migration::Sql(V1), Migration::Sql(V2), Migration::Code(format3::migrate)];

/// One step, executed in one transaction.
#[derive(Debug, Clone, Copy)]
pub(super) enum Migration {
    Sql(&'static str),
    Code(fn(&Connection) -> Result<(), Fault>),
}

impl Migration {
    fn execute(self, connection: &Connection) -> Result<(), Fault> {
        match self {
            Migration::Sql(sql) => Ok(connection.execute_batch(sql)?),
            Migration::Code(code) => code(connection),
        }
    }
}

/// Times are microseconds since the Unix epoch. `changes` holds the task after each
/// change and the flags before it.
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

/// Every change after `compacted_revision` is kept. The index ends in the row's key, which
/// is the revision: it finds the change of a task before any revision.
const V2: &str = "
CREATE INDEX changes_by_task ON changes (task_id);
INSERT INTO meta (key, value) VALUES ('compacted_revision', '0');
";

/// Makes a database at `path` and returns its format. It is made under another name and
/// renamed when it is whole and on disk: after a crash there is a list or there is none.
pub(super) fn create(path: &Path, migrations: &[Migration]) -> Result<i64, SqliteError> {
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

/// Only the owner may read the list, even in a directory that others may read. SQLite gives
/// the files beside a database the mode of the database.
fn make_private(draft: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft).map(|_| ())
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Makes everything in one transaction. Every format from the first one on has a list id.
fn fill(draft: &Path, migrations: &[Migration]) -> Result<i64, Fault> {
    let connection = Connection::open(draft)?;
    let format = format_after(migrations);
    let transaction = connection.unchecked_transaction()?;
    for (index, migration) in migrations.iter().enumerate() {
        migration.execute(&transaction)?;
        if index == 0 {
            transaction.execute(
                "INSERT INTO meta (key, value) VALUES ('list_id', ?1)",
                params![new_list_id().map_err(failure::no_random)?],
            )?;
        }
    }
    transaction.pragma_update(None, "application_id", inspect::APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", format)?;
    transaction.commit()?;
    connection.close().map_err(|(_, error)| error)?;
    Ok(format)
}

/// The format that these migrations lead to.
pub(super) fn format_after(migrations: &[Migration]) -> i64 {
    migrations.len() as i64
}

pub(super) fn refuse_newer(
    path: &Path,
    found: i64,
    migrations: &[Migration],
) -> Result<(), SqliteError> {
    let known = format_after(migrations);
    if found > known {
        return Err(SqliteError::Newer { path: path.to_owned(), found, known });
    }
    Ok(())
}

/// Migrates an older database to this program's format, each step in its own transaction.
/// Before it writes anything, SQLite checks the whole file.
pub(super) fn bring_up_to_date(
    connection: &Connection,
    path: &Path,
    migrations: &[Migration],
) -> Result<(), SqliteError> {
    let at_path = |fault: Fault| fault.at(path);
    // Read again: the write-ahead log may hold a newer format than the file.
    let format = connection::format(connection).map_err(at_path)?;
    refuse_newer(path, format, migrations)?;
    let write_ahead = connection::has_write_ahead_log(connection).map_err(at_path)?;
    if format == format_after(migrations) && write_ahead {
        return Ok(());
    }
    connection::quick_check(connection).map_err(at_path)?;
    for (from, migration) in migrations.iter().enumerate().skip(format as usize) {
        log::info!("migrating {} from format {from} to {}", path.display(), from + 1);
        migrate(connection, *migration, from as i64 + 1).map_err(at_path)?;
    }
    // The file stores the mode: a new one lacks it, and another tool may have changed it.
    connection::use_write_ahead_log(connection).map_err(at_path)
}

fn migrate(connection: &Connection, migration: Migration, format: i64) -> Result<(), Fault> {
    let transaction = connection.unchecked_transaction()?;
    migration.execute(&transaction)?;
    transaction.pragma_update(None, "user_version", format)?;
    Ok(transaction.commit()?)
}
