//! A transaction that writes, and what its failure means.

use rusqlite::{Connection, Error, ffi};

use super::error::CommitError;
use super::failure::{describe, extended_code};

/// How far a failed commit had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing can count as committed yet.
    BeforeCommit,
    /// In COMMIT itself: it writes the frame that makes the transaction valid, syncs
    /// it, and only then tells the other connections.
    Commit,
}

/// Does the writes in one transaction. `Ok` means that they are synced.
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

/// Rolls back where the outcome is certain, and says what the failure means.
pub(super) fn give_up(connection: &Connection, stage: Stage, error: &Error) -> CommitError {
    let why = describe(error);
    let refused = match extended_code(error) {
        Some(code) if is_about_space(stage, code) => CommitError::NoSpace,
        Some(code) if is_about_a_lock(stage, code) => CommitError::Busy,
        Some(_) | None => return CommitError::Unknown(why),
    };
    // SQLite itself rolls back after some failures.
    if !connection.is_autocommit()
        && let Err(rollback) = execute(connection, "ROLLBACK")
    {
        return CommitError::Unknown(format!("{why}; then the rollback failed: {rollback}"));
    }
    refused(why)
}

/// Whether the failure says that there is no space, and that nothing was written.
pub(super) fn is_about_space(stage: Stage, extended_code: i32) -> bool {
    match (stage, extended_code) {
        // ENOSPC of any write. In COMMIT, too, it comes before the frame that makes
        // the transaction valid is whole, so recovery would not take it either.
        (Stage::BeforeCommit | Stage::Commit, ffi::SQLITE_FULL) => true,
        // The log's index could not grow. COMMIT does this last, when the transaction
        // is valid on disk: there its outcome is open.
        (Stage::BeforeCommit, ffi::SQLITE_IOERR_SHMSIZE) => true,
        // SQLITE_IOERR_WRITE is a quota (EDQUOT) or a dying disk (EIO), and nothing
        // says which. Going on is right for one of them, stopping for both.
        _ => false,
    }
}

/// Whether the failure says that a lock is in the way, and that nothing was written.
pub(super) fn is_about_a_lock(stage: Stage, extended_code: i32) -> bool {
    match stage {
        // BEGIN IMMEDIATE takes the write lock, so it comes before any write of ours.
        Stage::BeforeCommit => {
            matches!(extended_code & 0xff, ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED)
        }
        // With the write lock held, the log has no lock left to wait for. Should it
        // happen all the same, "the transaction remains active"
        // (https://www.sqlite.org/lang_transaction.html) and is rolled back. That is
        // said of the plain code alone.
        Stage::Commit => extended_code == ffi::SQLITE_BUSY,
    }
}
