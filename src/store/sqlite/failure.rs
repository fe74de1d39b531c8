use std::path::Path;

use rusqlite::{Error, ErrorCode, ffi};

use super::error::SqliteError;

/// Why a database cannot be opened or read, without its path.
#[derive(Debug)]
pub(super) enum Fault {
    Sqlite(Error),
    /// SQLite reads the tables, but their content is inconsistent.
    Damage(String),
    /// The machine or this program is at fault, the file may be sound.
    Unfit(String),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        Fault::Sqlite(error)
    }
}

impl Fault {
    /// What is damaged, if it is damage.
    pub(super) fn into_damage(self) -> Result<String, Fault> {
        match self {
            Fault::Damage(detail) => Ok(detail),
            Fault::Sqlite(error) if is_damage(&error) => Ok(message(&error)),
            other => Err(other),
        }
    }

    /// The error for the database at `path`. `inspect` found our application id in the
    /// file, so "not a database" means that it is damaged.
    pub(super) fn at(self, path: &Path) -> SqliteError {
        let path = path.to_owned();
        match self.into_damage() {
            Ok(detail) => SqliteError::Corrupt { path, detail },
            Err(Fault::Damage(detail) | Fault::Unfit(detail)) => {
                SqliteError::Failed { path, detail }
            }
            Err(Fault::Sqlite(error)) => SqliteError::Failed { path, detail: describe(&error) },
        }
    }
}

/// Whether the error says that the file does not hold what this program wrote.
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

/// SQLite's message with its code, which the SQLite documentation explains, and with what
/// to do if that is known.
pub(super) fn describe(error: &Error) -> String {
    let message = message(error);
    let Some(code) = extended_code(error) else { return message };
    let advice = match code {
        ffi::SQLITE_FULL | ffi::SQLITE_IOERR_SHMSIZE => ": free some space on its disk",
        _ if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
            ": another program is using the database, close it"
        }
        _ => "",
    };
    format!("{message}, SQLite code {code}{advice}")
}

/// The message without the SQL statement, which would not help the reader.
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

pub(super) fn no_random(error: getrandom::Error) -> Fault {
    Fault::Unfit(format!("no random numbers: {error}"))
}
