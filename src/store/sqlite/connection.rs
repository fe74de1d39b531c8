use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use parking_lot::Mutex;
use rusqlite::config::DbConfig;
use rusqlite::types::FromSql;
use rusqlite::{Connection, Error, ErrorCode, OpenFlags, ffi};

use super::error::SqliteError;
use super::failure::{Fault, describe, extended_code};
use super::inspect::{beside, has_log};
use crate::limits::{
    BUSY_TIMEOUT, LOG_BYTES_MAX, LOG_BYTES_REFUSED, LOG_BYTES_REPORTED, LOG_WAIT_MAX,
};

/// Older versions can corrupt a database when the write-ahead log is reset.
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

/// Opens the database beside its writer, only for reading.
pub(super) fn open_reader(path: &Path) -> Result<Connection, SqliteError> {
    let opened = || -> Result<Connection, Fault> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        // The log belongs to the writer, even if this connection is the last to close.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "query_only", true)?;
        expect(&connection, "query_only", 1)?;
        read_with_care(&connection)?;
        Ok(connection)
    };
    opened().map_err(|fault| fault.at(path))
}

/// Opens a database that no other process has open, so that it and its log stay as they
/// are. Without a log nothing is written beside it either, so it may be on a read-only disk.
pub(super) fn open_to_check(path: &Path) -> Result<Connection, SqliteError> {
    if has_log(path) {
        return open_reader(path);
    }
    // https://www.sqlite.org/uri.html: these characters end the path or escape.
    let mut uri = b"file:".to_vec();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'%' | b'?' | b'#' => uri.extend(format!("%{byte:02X}").bytes()),
            _ => uri.push(*byte),
        }
    }
    uri.extend(b"?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(OsStr::from_bytes(&uri), flags)
        .map_err(Fault::from)
        .and_then(|connection| read_with_care(&connection).map(|()| connection));
    opened.map_err(|fault| fault.at(path))
}

/// The format, as of the newest commit.
pub(super) fn format(connection: &Connection) -> Result<i64, Fault> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

/// SQLite's check of the whole file, without the order of its indexes. The first error.
pub(super) fn quick_check(connection: &Connection) -> Result<(), Fault> {
    match check_file(connection, "PRAGMA quick_check(1)")?.pop() {
        None => Ok(()),
        Some(error) => Err(Fault::Damage(error)),
    }
}

/// SQLite's full check of the file: at most `errors_max` errors.
pub(super) fn integrity_errors(
    connection: &Connection,
    errors_max: usize,
) -> Result<Vec<String>, Fault> {
    check_file(connection, &format!("PRAGMA integrity_check({errors_max})"))
}

fn check_file(connection: &Connection, pragma: &str) -> Result<Vec<String>, Fault> {
    let mut check = connection.prepare(pragma)?;
    let mut found: Vec<String> =
        check.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    found.retain(|error| error != "ok");
    Ok(found)
}

/// The settings that durability depends on. Each is read back: SQLite ignores what it
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

/// For a database that was read and is sound: from now on, closing it may checkpoint.
/// Returns whether the whole log was moved into the database file.
///
/// The checkpoint is for durability. After a failed sync the kernel can hold pages
/// of the log that look written and are not; recovery read those. The checkpoint
/// writes them to the database and syncs that.
pub(super) fn settle(connection: &Connection) -> Result<bool, Fault> {
    let complete = checkpoint(connection)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    Ok(complete)
}

pub(super) fn schema_cookie(connection: &Connection) -> Result<u32, Fault> {
    let cookie: i32 = connection.pragma_query_value(None, "schema_version", |row| row.get(0))?;
    Ok(cookie.cast_unsigned())
}

/// Gives the database file another schema cookie: see [`head`](super::head). The pragma
/// is safe here, as the cookie only makes each connection read the schema again. Returns
/// false if the disk is full or another program holds a lock.
pub(super) fn set_schema_cookie(connection: &Connection, cookie: u32) -> Result<bool, Fault> {
    match connection.pragma_update(None, "schema_version", cookie.cast_signed()) {
        Ok(()) => Ok(true),
        Err(error) if can_be_put_off(&error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// After a failure of unknown outcome: closing must not write or sync again.
pub(super) fn keep_as_it_is(connection: &Connection) {
    if let Err(error) = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true) {
        log::error!("cannot keep SQLite from writing on close: {error}");
    }
}

/// Moves the write-ahead log into the database and empties it. A full disk or a reader
/// only postpones it: what is committed stays in the log. Returns whether it is done.
pub(super) fn checkpoint(connection: &Connection) -> Result<bool, Fault> {
    let busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
    let put_off = match busy {
        Ok(false) => return Ok(true),
        Ok(true) => "another program reads the database".to_owned(),
        Err(error) if can_be_put_off(&error) => describe(&error),
        Err(error) => return Err(error.into()),
    };
    log::warn!("the write-ahead log stays as it is for now: {put_off}");
    Ok(false)
}

fn can_be_put_off(error: &Error) -> bool {
    extended_code(error) == Some(ffi::SQLITE_FULL)
        || error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
}

/// Keeps the write-ahead log short, as far as other programs let it.
#[derive(Debug)]
pub(super) struct LogSize {
    /// Bytes that a reader keeps in the log, as of the last try to checkpoint.
    held_bytes: u64,
    /// The size from which `held_bytes` is reported next.
    report_at: u64,
    pub(super) reported: u64,
    pub(super) refused: u64,
}

impl Default for LogSize {
    fn default() -> LogSize {
        LogSize::new(LOG_BYTES_REPORTED, LOG_BYTES_REFUSED)
    }
}

impl LogSize {
    pub(super) fn new(reported: u64, refused: u64) -> LogSize {
        LogSize { held_bytes: 0, report_at: reported, reported, refused }
    }

    /// After a commit: checkpoints a long log, so that the next commit writes it from its
    /// start. A reader that reads page after page without a pause keeps SQLite from doing
    /// so by itself; so it locks `reading` for each page, and this waits for the lock.
    /// A failure loses nothing: the log is reused only when all of it was copied.
    pub(super) fn shorten(&mut self, connection: &Connection, path: &Path, reading: &Mutex<()>) {
        if !fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > LOG_BYTES_MAX) {
            return self.set_held(0);
        }
        let Some(_nobody_reads) = reading.try_lock_for(LOG_WAIT_MAX) else { return };
        let frames: rusqlite::Result<(i64, i64)> =
            connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
                Ok((row.get(1)?, row.get(2)?))
            });
        match frames {
            Ok((all, copied)) if copied < all => self.set_held(all.unsigned_abs() * FRAME_BYTES),
            Ok(_) => self.set_held(0),
            Err(error) => {
                log::warn!("the write-ahead log stays long for now: {}", describe(&error));
            }
        }
    }

    /// Before a write: why none may make the log longer.
    pub(super) fn refusal(&self) -> Option<String> {
        (self.held_bytes > self.refused).then(|| {
            format!(
                "the write-ahead log has {} MiB because another program holds a read transaction on the database: end that program",
                self.held_bytes / MIB
            )
        })
    }

    fn set_held(&mut self, bytes: u64) {
        self.held_bytes = bytes;
        if bytes == 0 && self.report_at > self.reported {
            self.report_at = self.reported;
            log::info!("the write-ahead log is short again");
        }
        if bytes >= self.report_at {
            log::warn!(
                "the write-ahead log grew to {} MiB because another program holds a read transaction on the database: end that program, or changes are refused from {} MiB on",
                bytes / MIB,
                self.refused / MIB
            );
            while self.report_at <= bytes {
                self.report_at *= 2;
            }
        }
    }
}

const MIB: u64 = 1024 * 1024;
/// A page of SQLite's default size with its header in the log.
const FRAME_BYTES: u64 = 4096 + 24;
