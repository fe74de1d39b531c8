use std::fs;
use std::path::Path;

use parking_lot::Mutex;
use rusqlite::config::DbConfig;
use rusqlite::types::FromSql;
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

use super::error::SqliteError;
use super::failure::{Fault, describe, extended_code};
use super::inspect::beside;
use crate::limits::{BUSY_TIMEOUT, LOG_BYTES_MAX, LOG_WAIT_MAX};

/// Older ones can corrupt a database when the write-ahead log is reset.
const SQLITE_VERSION_MIN: i32 = 3_051_003;

/// Opens the database for writing, so that closing it leaves the file and a leftover
/// write-ahead log as they are until [`settle`].
pub(super) fn open(path: &Path) -> Result<Connection, SqliteError> {
    let opened = || -> Result<Connection, Fault> {
        if rusqlite::version_number() < SQLITE_VERSION_MIN {
            let version = rusqlite::version();
            return Err(Fault::Unfit(format!("SQLite {version} is older than 3.51.3")));
        }
        // One thread owns the connection, so SQLite's own mutexes are not needed.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        Ok(connection)
    };
    opened().map_err(|fault| fault.at(path))
}

/// Opens the database beside its writer, for reading alone.
pub(super) fn open_reader(path: &Path) -> Result<Connection, SqliteError> {
    let opened = || -> Result<Connection, Fault> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        // The log is the writer's, also when this is the last to close.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "query_only", true)?;
        expect(&connection, "query_only", 1)?;
        read_with_care(&connection)?;
        Ok(connection)
    };
    opened().map_err(|fault| fault.at(path))
}

/// The settings that durability rests on. Each is read back: SQLite ignores what it
/// does not understand.
pub(super) fn configure(connection: &Connection) -> Result<(), Fault> {
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES_MAX as i64)?;
    expect(connection, "journal_mode", "wal".to_owned())?;
    // 2 is FULL: every commit syncs the log.
    expect(connection, "synchronous", 2)?;
    // The file is cut back to this when the log starts over.
    expect(connection, "journal_size_limit", LOG_BYTES_MAX as i64)?;
    read_with_care(connection)
}

fn read_with_care(connection: &Connection) -> Result<(), Fault> {
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    // A read error of mapped memory would be a signal, not an error.
    expect(connection, "mmap_size", 0)?;
    // Finds more kinds of damage when a page is read.
    expect(connection, "cell_size_check", 1)
}

fn expect<T: FromSql + PartialEq + std::fmt::Debug>(
    connection: &Connection,
    pragma: &str,
    wanted: T,
) -> Result<(), Fault> {
    let found: T = connection.pragma_query_value(None, pragma, |row| row.get(0))?;
    if found != wanted {
        return Err(Fault::Unfit(format!("SQLite has {pragma} {found:?}, not {wanted:?}")));
    }
    Ok(())
}

pub(super) fn has_write_ahead_log(connection: &Connection) -> Result<bool, Fault> {
    let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    Ok(mode == "wal")
}

pub(super) fn use_write_ahead_log(connection: &Connection) -> Result<(), Fault> {
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    match mode.as_str() {
        "wal" => Ok(()),
        other => Err(Fault::Unfit(format!("SQLite has journal_mode {other:?}, not \"wal\""))),
    }
}

/// For a database that was read and is sound: from here on closing it may tidy up.
///
/// The checkpoint is for durability. After a failed sync the kernel can hold pages
/// of the log that look written and are not; recovery read those. The checkpoint
/// writes what it read to the database anew and syncs that.
pub(super) fn settle(connection: &Connection) -> Result<(), Fault> {
    checkpoint(connection)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    Ok(())
}

/// After a failure of unknown outcome: closing must not write or sync again.
pub(super) fn keep_as_it_is(connection: &Connection) {
    if let Err(error) = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true) {
        log::error!("cannot keep SQLite from writing on close: {error}");
    }
}

/// Moves the write-ahead log into the database and empties it. A full disk or a
/// reader in the way only leaves it for later: what is committed stays in the log.
pub(super) fn checkpoint(connection: &Connection) -> Result<(), Fault> {
    let busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
    let put_off = match busy {
        Ok(false) => return Ok(()),
        Ok(true) => "another program reads the database".to_owned(),
        Err(error) if extended_code(&error) == Some(ffi::SQLITE_FULL) => describe(&error),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
            describe(&error)
        }
        Err(error) => return Err(error.into()),
    };
    log::warn!("the write-ahead log stays as it is for now: {put_off}");
    Ok(())
}

/// After a commit: lets the write-ahead log start over with the next one if it is long.
/// A reader that goes from page to page without a pause keeps SQLite from doing so by
/// itself; so it locks `reading` for each page, and here it waits. A failure loses nothing:
/// the log starts over only when all of it was copied, and what was not is copied anew.
pub(super) fn shorten_log(connection: &Connection, path: &Path, reading: &Mutex<()>) {
    if !fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > LOG_BYTES_MAX) {
        return;
    }
    let Some(_nobody_reads) = reading.try_lock_for(LOG_WAIT_MAX) else { return };
    if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
        log::warn!("the write-ahead log stays long for now: {}", describe(&error));
    }
}
