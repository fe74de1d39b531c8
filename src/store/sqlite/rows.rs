use std::sync::Arc;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, Type, ValueRef};
use rusqlite::{Connection, Error, OptionalExtension, Row};

use super::failure::Fault;
use crate::model::{Action, Change, Flags, Remembered, RequestId, Task, Timestamp, Title};

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

impl FromSql for RequestId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<RequestId> {
        match RequestId::new(value.as_str()?) {
            Ok(Some(id)) => Ok(id),
            Ok(None) => Err(FromSqlError::Other("a request_id is empty".into())),
            Err(error) => Err(FromSqlError::other(error)),
        }
    }
}

impl FromSql for Action {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Action> {
        let name = value.as_str()?;
        let found = Action::ALL.into_iter().find(|action| action.name() == name);
        found.ok_or_else(|| FromSqlError::Other(format!("the action {name:?} is unknown").into()))
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

/// The change in the first eleven columns: its task, action, flags and request id.
pub(super) fn change(row: &Row<'_>) -> rusqlite::Result<Change> {
    let action = row.get(7)?;
    let before = match (action == Action::Added, row.get(8)?, row.get(9)?) {
        (true, None, None) => None,
        (false, Some(completed), Some(deleted)) => Some(Flags { completed, deleted }),
        _ => {
            let why = "its action and its flags disagree";
            return Err(Error::FromSqlConversionFailure(7, Type::Text, why.into()));
        }
    };
    Ok(Change { action, task: Arc::new(task(row)?), before, request_id: row.get(10)? })
}

/// Says which row cannot be read, by the number in its column `key`, if reading got as
/// far as the row.
pub(super) fn unreadable(what: &str, row: &Row<'_>, key: usize, error: Error) -> Fault {
    let why = match &error {
        Error::FromSqlConversionFailure(_, _, why) => why.to_string(),
        Error::Utf8Error(_, why) => why.to_string(),
        _ => return error.into(),
    };
    match row.get::<_, i64>(key) {
        Ok(key) => Fault::Damage(format!("{what} {key} cannot be read: {why}")),
        Err(_) => error.into(),
    }
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
