use std::time::Duration;

use rusqlite::{Connection, ToSql, params, params_from_iter};

use super::rows::values;
use super::transaction;
use crate::limits;
use crate::model::{Change, Remembered, Timestamp};
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

/// Writes the batch in one transaction. `Ok` means that it is synced.
pub(super) fn commit(
    connection: &Connection,
    batch: &Batch,
    retention: &Retention,
) -> Result<(), CommitError> {
    match batch.is_empty() {
        true => Ok(()),
        false => transaction::write(connection, || put(connection, batch, retention)),
    }
}

/// One table after the other: each statement is looked up once a batch, not once a row.
fn put(connection: &Connection, batch: &Batch, retention: &Retention) -> rusqlite::Result<()> {
    put_tasks(connection, &batch.changes)?;
    put_changes(connection, &batch.changes)?;
    put_requests(connection, &batch.remembered, batch.now)?;
    forget(connection, batch.now, retention)
}

fn put_tasks(connection: &Connection, changes: &[Change]) -> rusqlite::Result<()> {
    let mut put = connection.prepare_cached(
        "INSERT INTO tasks (id, title, deleted, revision, created_at, updated_at, completed_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (id) DO UPDATE SET title = ?2, deleted = ?3, revision = ?4,
             created_at = ?5, updated_at = ?6, completed_at = ?7",
    )?;
    changes.iter().try_for_each(|change| put.execute(&values(&change.task)[..]).map(drop))
}

fn put_changes(connection: &Connection, changes: &[Change]) -> rusqlite::Result<()> {
    let mut put = connection.prepare_cached(
        "INSERT INTO changes (task_id, title, deleted, revision, created_at, updated_at,
             completed_at, action, was_completed, was_deleted, request_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    changes.iter().try_for_each(|change| {
        let was_completed = change.before.map(|before| before.completed);
        let was_deleted = change.before.map(|before| before.deleted);
        let more: [&dyn ToSql; 4] =
            [&change.action.name(), &was_completed, &was_deleted, &change.request_id];
        put.execute(params_from_iter(values(&change.task).into_iter().chain(more))).map(drop)
    })
}

fn put_requests(
    connection: &Connection,
    remembered: &[Remembered],
    now: Timestamp,
) -> rusqlite::Result<()> {
    let mut put = connection.prepare_cached(
        "INSERT INTO requests (task_id, title, deleted, revision, created_at, updated_at,
             completed_at, request_id, content, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    remembered.iter().try_for_each(|remembered| {
        let more: [&dyn ToSql; 3] = [&remembered.request_id, &remembered.content, &now];
        put.execute(params_from_iter(values(&remembered.answer).into_iter().chain(more))).map(drop)
    })
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
