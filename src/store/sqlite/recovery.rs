//! Reads the list, and proves that what it reads is whole: the tables `tasks` and
//! `changes` are written together and say the same twice, so damage to one that
//! SQLite cannot see shows when they are compared.

use std::sync::Arc;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};

use super::compaction::{check_order, compacted};
use super::failure::Fault;
use super::rows;
use crate::model::{Revision, Task, TaskId, Timestamp};
use crate::store::Loaded;

/// The list, if every task equals its newest change, every change has its task, and
/// every change is there that compaction keeps. That the newest revisions of both
/// tables agree follows from it. Writes nothing.
pub(super) fn load(connection: &Connection) -> Result<Loaded, Fault> {
    let transaction = connection.unchecked_transaction()?; // one state for all reads
    let list_id = list_id(&transaction)?;
    let compacted = compacted(&transaction)?;
    let tasks = tasks(&transaction)?;
    let newest = tasks.iter().map(|task| task.revision).max().unwrap_or(0);
    if compacted > newest {
        return Err(Fault::Damage(format!(
            "it is compacted up to revision {compacted}, but its tasks are at {newest}"
        )));
    }
    compare_with_changes(&transaction, &tasks, compacted)?;
    Ok(Loaded { list_id, tasks, compacted })
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
        let task = rows::task(row).map_err(|error| rows::unreadable("task", row, 0, error))?;
        // A damaged tree may give its keys in any order, and the lookup relies on it.
        let previous = tasks.last().map_or(0, |task| task.id);
        if task.id <= previous {
            return Err(Fault::Damage(format!("task {} follows task {previous}", task.id)));
        }
        tasks.push(Arc::new(task));
    }
    Ok(tasks)
}

/// What was read of the changes of a task.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nothing,
    Older,
    Newest,
}

fn compare_with_changes(
    connection: &Connection,
    tasks: &[Arc<Task>],
    compacted: Revision,
) -> Result<(), Fault> {
    let mut statement = connection.prepare(
        "SELECT revision, task_id, title, deleted, created_at, updated_at, completed_at,
             was_completed
         FROM changes ORDER BY revision",
    )?;
    let mut rows = statement.query([])?;
    let mut seen = vec![Seen::Nothing; tasks.len()];
    let mut previous = 0;
    while let Some(row) = rows.next()? {
        let (revision, id): (Revision, TaskId) = (row.get(0)?, row.get(1)?);
        check_order(previous, revision, compacted)?;
        previous = revision;
        let Some(index) = find(tasks, id) else {
            return Err(Fault::Damage(format!(
                "change {revision} is of task {id}, which is missing"
            )));
        };
        check_kept(row, revision, id, seen[index], compacted)?;
        seen[index] = compare(row, revision, &tasks[index])?;
    }
    match seen.iter().position(|seen| *seen != Seen::Newest) {
        None => Ok(()),
        Some(index) => {
            let Task { id, revision, .. } = *tasks[index];
            Err(Fault::Damage(format!("task {id} is at revision {revision}, which no change made")))
        }
    }
}

/// Of the changes up to the compacted revision one of each task is kept, and none of
/// those that come later can be the first of a task unless it made the task.
fn check_kept(
    row: &Row<'_>,
    revision: Revision,
    id: TaskId,
    seen: Seen,
    compacted: Revision,
) -> Result<(), Fault> {
    match (seen, revision <= compacted) {
        (Seen::Nothing, true) | (Seen::Older | Seen::Newest, false) => Ok(()),
        (Seen::Nothing, false) if row.get_ref(7)? == ValueRef::Null => Ok(()),
        (Seen::Nothing, false) => Err(Fault::Damage(format!(
            "the change of task {id} before change {revision} is missing"
        ))),
        (Seen::Older | Seen::Newest, true) => Err(Fault::Damage(format!(
            "it is compacted up to revision {compacted}, but task {id} has changes before {revision}"
        ))),
    }
}

fn compare(row: &Row<'_>, revision: Revision, task: &Task) -> Result<Seen, Fault> {
    let id = task.id;
    if revision < task.revision {
        return Ok(Seen::Older);
    }
    if revision > task.revision {
        return Err(Fault::Damage(format!(
            "task {id} is at revision {}, but change {revision} is newer",
            task.revision
        )));
    }
    match is_task_after(row, task).map_err(|e| rows::unreadable("change", row, 0, e))? {
        true => Ok(Seen::Newest),
        false => Err(Fault::Damage(format!("task {id} is not what change {revision} made of it"))),
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
