//! A write transaction, and what its failure means.

use rusqlite::{Connection, Error, ffi};

use super::error::CommitError;
use super::failure::{describe, extended_code};

/// Where a commit failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Before COMMIT: nothing is committed.
    BeforeCommit,
    /// In COMMIT, which writes the frame that makes the transaction valid, syncs it, and
    /// then updates the log's index for the other connections.
    Commit,
}

/// Executes the writes in one transaction. `Ok` means that they are synced.
pub(super) fn write(
    connection: &Connection,
    writes: impl FnOnce() -> rusqlite::Result<()>,
) -> Result<(), CommitError> {
    execute(connection, "BEGIN IMMEDIATE")
        .and_then(|()| writes())
        .map_err(|error| give_up(connection, Stage::BeforeCommit, &error))?;
    execute(connection, "COMMIT").map_err(|error| give_up(connection, Stage::Commit, &error))
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(|_| ())
}

/// Rolls back where the outcome is certain. Returns what the failure means.
pub(super) fn give_up(connection: &Connection, stage: Stage, error: &Error) -> CommitError {
    let why = describe(error);
    let refused = match extended_code(error) {
        Some(code) if is_about_space(stage, code) => CommitError::NoSpace,
        Some(code) if is_about_a_lock(stage, code) => CommitError::Busy,
        Some(_) | None => return CommitError::Unknown(why),
    };
    // After some failures, SQLite has rolled back already.
    if !connection.is_autocommit()
        && let Err(rollback) = execute(connection, "ROLLBACK")
    {
        return CommitError::Unknown(format!("{why}; then the rollback failed: {rollback}"));
    }
    refused(why)
}

/// Whether the failure means that there is no space and nothing was committed.
pub(super) fn is_about_space(stage: Stage, extended_code: i32) -> bool {
    match (stage, extended_code) {
        // ENOSPC of any write. In COMMIT it comes before the frame that makes the
        // transaction valid is complete, so recovery would drop the transaction, too.
        (Stage::BeforeCommit | Stage::Commit, ffi::SQLITE_FULL) => true,
        // The log's index could not grow. COMMIT updates it last, when the transaction is
        // valid on disk, so there the outcome is unknown.
        (Stage::BeforeCommit, ffi::SQLITE_IOERR_SHMSIZE) => true,
        // SQLITE_IOERR_WRITE is a quota (EDQUOT) or a failing disk (EIO), and SQLite does
        // not say which. To continue is right for the first only, to stop for both.
        _ => false,
    }
}

/// Whether the failure means that another program holds a lock and nothing was committed.
pub(super) fn is_about_a_lock(stage: Stage, extended_code: i32) -> bool {
    match stage {
        // BEGIN IMMEDIATE takes the write lock, before any write.
        Stage::BeforeCommit => {
            matches!(extended_code & 0xff, ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED)
        }
        // COMMIT holds the write lock and needs no other. If it fails with this code all
        // the same, "the transaction remains active" and is rolled back. SQLite promises
        // that for the plain code only: https://www.sqlite.org/lang_transaction.html
        Stage::Commit => extended_code == ffi::SQLITE_BUSY,
    }
}
