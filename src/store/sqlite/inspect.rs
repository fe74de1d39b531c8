//! Reads the header of the database file without SQLite, which may write when it opens
//! a file: it rolls back a leftover journal.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::error::SqliteError;

/// "todo" in ASCII: distinguishes databases of this program from others.
pub(super) const APPLICATION_ID: i32 = i32::from_be_bytes(*b"todo");

// https://www.sqlite.org/fileformat2.html#the_database_header
const HEADER_BYTES: u64 = 100;
const MAGIC: &[u8] = b"SQLite format 3\0";
const SCHEMA_COOKIE_AT: usize = 40;
const USER_VERSION_AT: usize = 60;
const APPLICATION_ID_AT: usize = 68;

/// What the database file says about itself. It may be behind the write-ahead log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub format: i64,
    /// See [`head`](super::head).
    pub schema_cookie: u32,
}

/// The header of the database at `path`, `None` if the file is missing or empty. Fails
/// for a file of another program: a database gets its application id before its name.
pub(super) fn inspect(path: &Path) -> Result<Option<Header>, SqliteError> {
    let failed =
        |error: io::Error| SqliteError::Failed { path: path.to_owned(), detail: error.to_string() };
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => {
            return Err(SqliteError::Foreign { path: path.to_owned() });
        }
        Ok(found) if found.len() > 0 => {}
        Ok(_) => return refuse_orphans(path).map(|()| None),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return refuse_orphans(path).map(|()| None);
        }
        Err(error) => return Err(failed(error)),
    }
    parse(path, &read_header(path).map_err(failed)?).map(Some)
}

/// SQLite would silently open an unwritable file for reading.
pub(super) fn require_writable(path: &Path) -> Result<(), SqliteError> {
    match OpenOptions::new().read(true).write(true).open(path) {
        Ok(_) => Ok(()),
        Err(error) => Err(SqliteError::ReadOnly { path: path.to_owned(), error }),
    }
}

/// A log without its database belongs to a list that lost its main file. SQLite
/// would apply it to the new one.
fn refuse_orphans(path: &Path) -> Result<(), SqliteError> {
    for suffix in ["-wal", "-journal"] {
        let orphan = beside(path, suffix);
        if is_not_empty(&orphan) {
            let detail = format!("it is missing or empty, but {} exists", orphan.display());
            return Err(SqliteError::Corrupt { path: path.to_owned(), detail });
        }
    }
    Ok(())
}

/// Whether there is a write-ahead log that SQLite would apply to the database.
pub(super) fn has_log(path: &Path) -> bool {
    is_not_empty(&beside(path, "-wal"))
}

fn is_not_empty(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.len() > 0)
}

/// The file that SQLite keeps beside the database under this suffix.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn read_header(path: &Path) -> io::Result<Vec<u8>> {
    let mut header = Vec::new();
    File::open(path)?.take(HEADER_BYTES).read_to_end(&mut header)?;
    Ok(header)
}

fn parse(path: &Path, header: &[u8]) -> Result<Header, SqliteError> {
    let corrupt =
        |detail: &str| SqliteError::Corrupt { path: path.to_owned(), detail: detail.into() };
    if !header.starts_with(MAGIC) {
        return Err(SqliteError::Foreign { path: path.to_owned() });
    }
    let integers = [APPLICATION_ID_AT, USER_VERSION_AT, SCHEMA_COOKIE_AT];
    let [Some(application_id), Some(format), Some(cookie)] = integers.map(|at| integer(header, at))
    else {
        return Err(corrupt("it ends within its header"));
    };
    if application_id != APPLICATION_ID {
        return Err(SqliteError::Foreign { path: path.to_owned() });
    }
    if format < 1 {
        return Err(corrupt(&format!("its format is {format}")));
    }
    Ok(Header { format: i64::from(format), schema_cookie: cookie.cast_unsigned() })
}

/// Integers in the header are big-endian.
fn integer(header: &[u8], at: usize) -> Option<i32> {
    let bytes = header.get(at..at + 4)?;
    Some(i32::from_be_bytes(bytes.try_into().ok()?))
}
