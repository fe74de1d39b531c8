use std::path::Path;

use rusqlite::{Error, ErrorCode, ffi};

use super::error::SqliteError;

/// Why a database cannot be opened or read. The path joins it at the top.
#[derive(Debug)]
pub(super) enum Fault {
    Sqlite(Error),
    /// SQLite is content, but what the tables say makes no sense.
    Damage(String),
    /// The machine or this program is not fit, the file may be fine.
    Unfit(String),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        Fault::Sqlite(error)
    }
}

impl Fault {
    /// The error for the database at `path`. `inspect` has already found our mark in
    /// the file, so that what SQLite calls "not a database" is a damaged one of ours.
    pub(super) fn at(self, path: &Path) -> SqliteError {
        let path = path.to_owned();
        match self {
            Fault::Damage(detail) => SqliteError::Corrupt { path, detail },
            Fault::Unfit(detail) => SqliteError::Failed { path, detail },
            Fault::Sqlite(error) if is_damage(&error) => {
                SqliteError::Corrupt { path, detail: message(&error) }
            }
            Fault::Sqlite(error) => SqliteError::Failed { path, detail: describe(&error) },
        }
    }
}

/// Whether the error says that the file does not hold what we once wrote.
fn is_damage(error: &Error) -> bool {
    match error {
        Error::SqliteFailure(failure, _) | Error::SqlInputError { error: failure, .. } => {
            match failure.code {
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => true,
                // SQLITE_ERROR: our statements are right, so a table or column is missing.
                _ => failure.extended_code == ffi::SQLITE_ERROR,
            }
        }
        Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::InvalidColumnType(..)
        | Error::Utf8Error(..)
        | Error::QueryReturnedNoRows => true,
        _ => false,
    }
}

/// SQLite's message, with the code that its documentation explains and what to do
/// where that is known.
pub(super) fn describe(error: &Error) -> String {
    let message = message(error);
    let Some(code) = extended_code(error) else { return message };
    let advice = match code {
        ffi::SQLITE_FULL | ffi::SQLITE_IOERR_SHMSIZE => ": free some space on its disk",
        _ if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
            ": another program is using the database, close that"
        }
        _ => "",
    };
    format!("{message}, SQLite code {code}{advice}")
}

/// The message without our statement, which says nothing to the reader.
fn message(error: &Error) -> String {
    match error {
        Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    }
}

/// SQLite's extended result code.
pub(super) fn extended_code(error: &Error) -> Option<i32> {
    error.sqlite_error().map(|failure| failure.extended_code)
}
