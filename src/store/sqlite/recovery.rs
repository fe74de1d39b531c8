//! Reads the list, and proves that what it reads is whole: the tables `tasks` and
//! `changes` are written together and say the same twice, so damage to one that
//! SQLite cannot see shows when they are compared.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row};

use super::failure::Fault;
use super::rows;
use crate::model::{Revision, Task, TaskId, Timestamp};
use crate::store::Loaded;

/// The list, if every task equals its newest change and every change has its task.
/// That the newest revisions of both tables agree follows from it. Writes nothing.
pub(super) fn load(connection: &Connection) -> Result<Loaded, Fault> {
    let transaction = connection.unchecked_transaction()?; // one state for all reads
    let list_id = list_id(&transaction)?;
    let tasks = tasks(&transaction)?;
    compare_with_changes(&transaction, &tasks)?;
    Ok(Loaded { list_id, tasks })
}

fn list_id(connection: &Connection) -> Result<Arc<str>, Fault> {
    let found: Option<String> = connection
        .query_row("SELECT value FROM meta WHERE key = 'list_id'", [], |row| row.get(0))
        .optional()?;
    match found {
        Some(id) if !id.is_empty() => Ok(id.into()),
        Some(_) | None => Err(Fault::Damage("the list has no list_id".to_owned())),
    }
}

fn tasks(connection: &Connection) -> Result<Vec<Arc<Task>>, Fault> {
    let mut statement = connection.prepare(
        "SELECT id, title, deleted, revision, created_at, updated_at, completed_at
         FROM tasks ORDER BY id",
    )?;
    let mut rows = statement.query([])?;
    let mut tasks: Vec<Arc<Task>> = Vec::new();
    while let Some(row) = rows.next()? {
        let task = rows::task(row).map_err(|error| unreadable("task", row, error))?;
        // A damaged tree may give its keys in any order, and the lookup relies on it.
        let previous = tasks.last().map_or(0, |task| task.id);
        if task.id <= previous {
            return Err(Fault::Damage(format!("task {} follows task {previous}", task.id)));
        }
        tasks.push(Arc::new(task));
    }
    Ok(tasks)
}

/// Says which row cannot be read, if reading got as far as the row.
fn unreadable(what: &str, row: &Row<'_>, error: rusqlite::Error) -> Fault {
    let why = match &error {
        rusqlite::Error::FromSqlConversionFailure(_, _, why) => why.to_string(),
        rusqlite::Error::Utf8Error(_, why) => why.to_string(),
        _ => return error.into(),
    };
    match row.get::<_, i64>(0) {
        Ok(key) => Fault::Damage(format!("{what} {key} cannot be read: {why}")),
        Err(_) => error.into(),
    }
}

fn compare_with_changes(connection: &Connection, tasks: &[Arc<Task>]) -> Result<(), Fault> {
    let mut statement = connection.prepare(
        "SELECT revision, task_id, title, deleted, created_at, updated_at, completed_at
         FROM changes ORDER BY revision",
    )?;
    let mut rows = statement.query([])?;
    let mut confirmed = vec![false; tasks.len()];
    while let Some(row) = rows.next()? {
        let (revision, id): (Revision, TaskId) = (row.get(0)?, row.get(1)?);
        let Some(index) = find(tasks, id) else {
            return Err(Fault::Damage(format!(
                "change {revision} is of task {id}, which is missing"
            )));
        };
        let task = &tasks[index];
        if revision > task.revision {
            return Err(Fault::Damage(format!(
                "task {id} is at revision {}, but change {revision} is newer",
                task.revision
            )));
        }
        if revision == task.revision {
            let same =
                is_task_after(row, task).map_err(|error| unreadable("change", row, error))?;
            if !same {
                return Err(Fault::Damage(format!(
                    "task {id} is not what change {revision} made of it"
                )));
            }
            confirmed[index] = true;
        }
    }
    match confirmed.iter().position(|confirmed| !confirmed) {
        None => Ok(()),
        Some(index) => {
            let Task { id, revision, .. } = *tasks[index];
            Err(Fault::Damage(format!("task {id} is at revision {revision}, which no change made")))
        }
    }
}

/// The index of the task with this id. Ids grow by one and tasks are kept, so it is
/// where its id says.
fn find(tasks: &[Arc<Task>], id: TaskId) -> Option<usize> {
    let guess = usize::try_from(id).ok()?.checked_sub(1)?;
    match tasks.get(guess) {
        Some(task) if task.id == id => Some(guess),
        Some(_) | None => tasks.binary_search_by_key(&id, |task| task.id).ok(),
    }
}

fn is_task_after(row: &Row<'_>, task: &Task) -> rusqlite::Result<bool> {
    Ok(row.get_ref(2)?.as_str()? == task.title.as_str()
        && row.get::<_, bool>(3)? == task.deleted
        && row.get::<_, Timestamp>(4)? == task.created_at
        && row.get::<_, Timestamp>(5)? == task.updated_at
        && row.get::<_, Option<Timestamp>>(6)? == task.completed_at)
}
