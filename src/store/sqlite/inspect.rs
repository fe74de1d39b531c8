//! Looks at the database file without SQLite, which may already write when it opens
//! one (a leftover journal is rolled back).

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::error::SqliteError;

/// "todo" in ASCII: how a database of ours is told from others.
pub(super) const APPLICATION_ID: i32 = i32::from_be_bytes(*b"todo");

// https://www.sqlite.org/fileformat2.html#the_database_header
const HEADER_BYTES: u64 = 100;
const MAGIC: &[u8] = b"SQLite format 3\0";
const USER_VERSION_AT: usize = 60;
const APPLICATION_ID_AT: usize = 68;

/// The format of the database at `path`, `None` if there is none yet. The main
/// file's header may be behind the write-ahead log, but never in what it is: a
/// database gets its application id before it gets its name.
pub(super) fn inspect(path: &Path) -> Result<Option<i64>, SqliteError> {
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
    // SQLite would silently open an unwritable file for reading.
    let file = OpenOptions::new().read(true).write(true).open(path);
    let header = file.map_err(|error| SqliteError::ReadOnly { path: path.to_owned(), error });
    read_format(path, &read_header(header?).map_err(failed)?).map(Some)
}

/// A log without its database belongs to a list that lost its main file. SQLite
/// would play it into the new one.
fn refuse_orphans(path: &Path) -> Result<(), SqliteError> {
    for suffix in ["-wal", "-journal"] {
        let orphan = beside(path, suffix);
        if fs::metadata(&orphan).is_ok_and(|found| found.len() > 0) {
            let detail = format!("it is missing or empty, but {} is there", orphan.display());
            return Err(SqliteError::Corrupt { path: path.to_owned(), detail });
        }
    }
    Ok(())
}

/// The file that SQLite keeps beside the database under this suffix.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn read_header(file: File) -> io::Result<Vec<u8>> {
    let mut header = Vec::new();
    file.take(HEADER_BYTES).read_to_end(&mut header)?;
    Ok(header)
}

fn read_format(path: &Path, header: &[u8]) -> Result<i64, SqliteError> {
    let corrupt =
        |detail: &str| SqliteError::Corrupt { path: path.to_owned(), detail: detail.into() };
    if !header.starts_with(MAGIC) {
        return Err(SqliteError::Foreign { path: path.to_owned() });
    }
    let (Some(application_id), Some(format)) =
        (integer(header, APPLICATION_ID_AT), integer(header, USER_VERSION_AT))
    else {
        return Err(corrupt("it ends within its header"));
    };
    if application_id != APPLICATION_ID {
        return Err(SqliteError::Foreign { path: path.to_owned() });
    }
    if format < 1 {
        return Err(corrupt(&format!("its format is {format}")));
    }
    Ok(i64::from(format))
}

/// Integers in the header are big-endian.
fn integer(header: &[u8], at: usize) -> Option<i32> {
    let bytes = header.get(at..at + 4)?;
    Some(i32::from_be_bytes(bytes.try_into().ok()?))
}
