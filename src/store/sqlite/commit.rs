use std::time::Duration;

use rusqlite::{Connection, Error, ToSql, ffi, params, params_from_iter};

use super::failure::{describe, extended_code};
use super::rows::values;
use crate::limits;
use crate::model::{Change, Remembered, Task, Timestamp};
use crate::store::{Batch, CommitError};

/// For how long request ids are remembered. The defaults are those of [`limits`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Retention {
    /// A request is remembered for this long,
    pub kept: Duration,
    /// unless this many newer ones came.
    pub kept_max: i64,
    /// These newest ones are remembered whatever their age.
    pub kept_min: i64,
    /// Forgotten in one commit, at most.
    pub forgotten_per_commit: i64,
}

impl Default for Retention {
    fn default() -> Retention {
        Retention {
            kept: limits::REQUEST_KEPT,
            kept_max: limits::REQUESTS_KEPT_MAX,
            kept_min: limits::REQUESTS_KEPT_MIN,
            forgotten_per_commit: limits::REQUESTS_FORGOTTEN_PER_COMMIT,
        }
    }
}

/// How far a failed commit had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing can count as committed yet.
    BeforeCommit,
    /// In COMMIT itself: it writes the frame that makes the transaction valid, syncs
    /// it, and only then tells the other connections.
    Commit,
}

/// Writes the batch in one transaction. `Ok` means that it is synced.
pub(super) fn commit(
    connection: &Connection,
    batch: &Batch,
    retention: &Retention,
) -> Result<(), CommitError> {
    if batch.is_empty() {
        return Ok(());
    }
    write(connection, batch, retention)
        .map_err(|error| give_up(connection, Stage::BeforeCommit, &error))?;
    execute(connection, "COMMIT").map_err(|error| give_up(connection, Stage::Commit, &error))
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(|_| ())
}

fn write(connection: &Connection, batch: &Batch, retention: &Retention) -> rusqlite::Result<()> {
    execute(connection, "BEGIN IMMEDIATE")?;
    for change in &batch.changes {
        put_task(connection, &change.task)?;
        put_change(connection, change)?;
    }
    for remembered in &batch.remembered {
        put_request(connection, remembered, batch.now)?;
    }
    forget(connection, batch.now, retention)
}

fn put_task(connection: &Connection, task: &Task) -> rusqlite::Result<()> {
    let mut put = connection.prepare_cached(
        "INSERT INTO tasks (id, title, deleted, revision, created_at, updated_at, completed_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (id) DO UPDATE SET title = ?2, deleted = ?3, revision = ?4,
             created_at = ?5, updated_at = ?6, completed_at = ?7",
    )?;
    put.execute(&values(task)[..]).map(|_| ())
}

fn put_change(connection: &Connection, change: &Change) -> rusqlite::Result<()> {
    let mut put = connection.prepare_cached(
        "INSERT INTO changes (task_id, title, deleted, revision, created_at, updated_at,
             completed_at, action, was_completed, was_deleted, request_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    let was_completed = change.before.map(|before| before.completed);
    let was_deleted = change.before.map(|before| before.deleted);
    let more: [&dyn ToSql; 4] =
        [&change.action.name(), &was_completed, &was_deleted, &change.request_id];
    put.execute(params_from_iter(values(&change.task).into_iter().chain(more))).map(|_| ())
}

fn put_request(
    connection: &Connection,
    remembered: &Remembered,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let mut put = connection.prepare_cached(
        "INSERT INTO requests (task_id, title, deleted, revision, created_at, updated_at,
             completed_at, request_id, content, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    let more: [&dyn ToSql; 3] = [&remembered.request_id, &remembered.content, &now];
    put.execute(params_from_iter(values(&remembered.answer).into_iter().chain(more))).map(|_| ())
}

/// Forgets the oldest requests, up to the first that is still to be remembered. So
/// the numbers that are left have no gaps, which makes `newest - seq` the count of
/// newer ones; and a commit with nothing to forget looks at one row. After the clock
/// went back, an old request may wait behind one that looks young.
fn forget(connection: &Connection, now: Timestamp, retention: &Retention) -> rusqlite::Result<()> {
    let newest: Option<i64> = connection
        .prepare_cached("SELECT max(seq) FROM requests")?
        .query_row([], |row| row.get(0))?;
    let Some(newest) = newest else { return Ok(()) };
    let kept_micros = i64::try_from(retention.kept.as_micros()).unwrap_or(i64::MAX);
    let remembered_since = now.0.saturating_sub(kept_micros);

    let mut oldest =
        connection.prepare_cached("SELECT seq, at FROM requests ORDER BY seq LIMIT ?1")?;
    let mut rows = oldest.query([retention.forgotten_per_commit])?;
    let mut last = None;
    while let Some(row) = rows.next()? {
        let (seq, at): (i64, i64) = (row.get(0)?, row.get(1)?);
        let newer = newest - seq;
        let due = at < remembered_since || newer >= retention.kept_max;
        if !due || newer < retention.kept_min {
            break;
        }
        last = Some(seq);
    }
    drop(rows);
    match last {
        None => Ok(()),
        Some(last) => connection
            .prepare_cached("DELETE FROM requests WHERE seq <= ?1")?
            .execute(params![last])
            .map(|_| ()),
    }
}

/// Rolls back where the outcome is certain, and says what the failure means.
fn give_up(connection: &Connection, stage: Stage, error: &Error) -> CommitError {
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
