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
        "the data directory {} is in use by {holder}: stop that process, or give another --data-dir",
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
    /// There is no list to check or to repair.
    #[error(
        "no list in {}: the file is missing or empty; give the data directory of a stopped todod, or a database file such as a backup",
        .0.display()
    )]
    NoList(PathBuf),
    #[error(
        "{} is not a directory, and --repair-times needs the data directory of a stopped server; to repair a backup, copy it to todo.db in an empty directory, and give that directory",
        .0.display()
    )]
    NotADirectory(PathBuf),
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

/// Why `todod check` cannot read a list. The command takes a path, and has no --data-dir.
#[derive(Debug, thiserror::Error)]
pub(super) enum CheckError {
    #[error(
        "cannot use the data directory {}: {error}; run todod check as the user that runs todod, or give another path",
        path.display()
    )]
    Directory { path: PathBuf, error: io::Error },
    #[error(
        "{} is in use by {holder}: stop that process, or check a backup",
        path.display()
    )]
    InUse { path: PathBuf, holder: String },
    #[error(
        "cannot open {} for writing ({error}): run todod check as the user that runs todod",
        path.display()
    )]
    ReadOnly { path: PathBuf, error: io::Error },
    #[error(
        "{} is not a todo database: give the data directory of a stopped todod, or a database file such as a backup",
        path.display()
    )]
    Foreign { path: PathBuf },
    #[error(transparent)]
    Other(SqliteError),
}

impl From<SqliteError> for CheckError {
    fn from(error: SqliteError) -> CheckError {
        match error {
            SqliteError::Directory { path, error } => CheckError::Directory { path, error },
            SqliteError::InUse { path, holder } => CheckError::InUse { path, holder },
            SqliteError::ReadOnly { path, error } => CheckError::ReadOnly { path, error },
            SqliteError::Foreign { path } => CheckError::Foreign { path },
            other => CheckError::Other(other),
        }
    }
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

impl From<CheckError> for StoreError {
    fn from(error: CheckError) -> StoreError {
        match error {
            CheckError::Other(error) => error.into(),
            other => StoreError::new(StoreErrorKind::Failed, other.to_string()),
        }
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
