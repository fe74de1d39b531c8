use std::sync::Arc;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row};

use super::failure::Fault;
use crate::model::{Remembered, RequestId, Task, Timestamp, Title};

impl ToSql for Timestamp {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

impl FromSql for Timestamp {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Timestamp> {
        value.as_i64().map(Timestamp)
    }
}

impl ToSql for Title {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.as_str().to_sql()
    }
}

impl FromSql for Title {
    /// Checks the rules anew: a stored title that breaks them was damaged.
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Title> {
        let text = value.as_str()?;
        let title = Title::new(text).map_err(FromSqlError::other)?;
        match title.as_str() == text {
            true => Ok(title),
            false => Err(FromSqlError::Other("a title has outer white space".into())),
        }
    }
}

impl ToSql for RequestId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.as_str().to_sql()
    }
}

/// A task's values, in the order in which every statement here names its columns.
pub(super) fn values(task: &Task) -> [&dyn ToSql; 7] {
    let Task { id, title, deleted, revision, created_at, updated_at, completed_at } = task;
    [id, title, deleted, revision, created_at, updated_at, completed_at]
}

/// The task in the first seven columns, in the order of [`values`].
pub(super) fn task(row: &Row<'_>) -> rusqlite::Result<Task> {
    Ok(Task {
        id: row.get(0)?,
        title: row.get(1)?,
        deleted: row.get(2)?,
        revision: row.get(3)?,
        created_at: row.get(4)?,
        updated_at: row.get(5)?,
        completed_at: row.get(6)?,
    })
}

/// What is remembered of the request with this id.
pub(super) fn find_request(
    connection: &Connection,
    id: &RequestId,
) -> Result<Option<Remembered>, Fault> {
    let mut found = connection.prepare_cached(
        "SELECT task_id, title, deleted, revision, created_at, updated_at, completed_at, content
         FROM requests WHERE request_id = ?1",
    )?;
    let remembered = found.query_row([id], |row| {
        let answer = Arc::new(task(row)?);
        Ok(Remembered { request_id: id.clone(), content: row.get(7)?, answer })
    });
    Ok(remembered.optional()?)
}
