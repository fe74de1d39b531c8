use std::io;
use std::path::PathBuf;

use crate::store::{StoreError, StoreErrorKind};

/// Why a database cannot be opened or read. Above the store it is an opaque
/// [`StoreError`] with the same message.
#[derive(Debug, thiserror::Error)]
pub(super) enum SqliteError {
    #[error("cannot use the data directory {}: {error}; give another --data-dir", path.display())]
    Directory { path: PathBuf, error: io::Error },
    #[error(
        "the data directory {} is in use by {holder}: stop that, or give another --data-dir",
        path.display()
    )]
    InUse { path: PathBuf, holder: String },
    #[error(
        "cannot open {} for writing ({error}): make it writable for the user that runs todod, or give another --data-dir",
        path.display()
    )]
    ReadOnly { path: PathBuf, error: io::Error },
    #[error(
        "{} is not a todo database: move it away, or give another --data-dir",
        path.display()
    )]
    Foreign { path: PathBuf },
    #[error(
        "{} has format {found}, this program knows formats up to {known}: use a newer todod",
        path.display()
    )]
    Newer { path: PathBuf, found: i64, known: i64 },
    /// The database cannot be opened.
    #[error(
        "{} is damaged ({detail}) and was left as it is: restore it from a backup, or move it away and start a new list with --init",
        path.display()
    )]
    Corrupt { path: PathBuf, detail: String },
    #[error(
        "{} is missing or empty, but a list was kept there: put it or a backup back, or start a new list with --init",
        path.display()
    )]
    Missing { path: PathBuf },
    #[error(
        "{0}-wal belongs to another file than {0}, which was replaced after todod was killed; both were left as they are: to use {0} as it is, delete {0}-wal; to keep the earlier list, put its file back",
        path.display()
    )]
    StrayLog { path: PathBuf },
    /// A part of an open database.
    #[error(
        "{} is damaged ({detail}): stop todod and run \"todod check\", which lists the damage",
        path.display()
    )]
    Damaged { path: PathBuf, detail: String },
    #[error("cannot read or write {}: {detail}", path.display())]
    Failed { path: PathBuf, detail: String },
}

/// Why nothing was committed, or may not have been.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommitError {
    /// Nothing was written. The store continues once there is space.
    #[error("there is no space left on the store's disk: {0}")]
    NoSpace(String),
    /// Nothing was written. The store continues once the other program releases its lock.
    #[error("another program holds the store's lock: {0}")]
    Busy(String),
    /// Nothing was written, because a row that had to be read is damaged.
    #[error("the write depends on a damaged row: {0}")]
    Damaged(String),
    /// Only a restart, which reads the disk, can find out what reached it.
    #[error("a write to the store failed, its outcome is unknown: {0}")]
    Unknown(String),
}

impl From<SqliteError> for StoreError {
    fn from(error: SqliteError) -> StoreError {
        let kind = match error {
            SqliteError::Corrupt { .. } | SqliteError::Damaged { .. } => StoreErrorKind::Damaged,
            _ => StoreErrorKind::Failed,
        };
        StoreError::new(kind, error.to_string())
    }
}

impl From<CommitError> for StoreError {
    fn from(error: CommitError) -> StoreError {
        let kind = match error {
            CommitError::NoSpace(_) => StoreErrorKind::NoSpace,
            CommitError::Busy(_) => StoreErrorKind::Busy,
            CommitError::Damaged(_) => StoreErrorKind::Damaged,
            CommitError::Unknown(_) => StoreErrorKind::Failed,
        };
        StoreError::new(kind, error.to_string())
    }
}

impl SqliteError {
    /// The error of a store that stays open: damage affects only the caller.
    pub(super) fn while_open(self) -> SqliteError {
        match self {
            SqliteError::Corrupt { path, detail } => SqliteError::Damaged { path, detail },
            other => other,
        }
    }
}
