//! Reads the list as it was left. The tasks are read in full; of the history only the
//! newest changes, which must agree with the tasks. [`check`](super::check) reads all of it.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use rusqlite::{Connection, params};

use super::failure::Fault;
use super::list_row::ListRow;
use super::rows::{
    ChangeRow, Checked, REQUESTS, RequestRow, TASKS, TaskRow, change_columns, damaged,
};
use crate::limits::RECOVERY_CHANGES_MAX;
use crate::model::{Change, RequestId, Revision, Task, Timestamp};
use crate::plural::counted;
use crate::store::{Loaded, RequestNumber};

/// The list and its row. An error if the list is not whole: a task is missing or damaged,
/// or the newest changes disagree with the tasks. A damaged row of the history or of the
/// idempotency records is logged: it affects only who asks for it. Writes nothing.
pub(super) fn load(connection: &Connection) -> Result<(ListRow, Loaded), Fault> {
    let transaction = connection.unchecked_transaction()?; // one state for all reads
    let list = ListRow::read(&transaction)?;
    if list.compacted > list.head.revision {
        return Err(Fault::Damage(format!(
            "it is compacted up to revision {}, but the list is at revision {}",
            list.compacted, list.head.revision
        )));
    }
    let tasks = tasks(&transaction, &list)?;
    compare_newest_changes(&transaction, &list, &tasks)?;
    let requests = requests(&transaction, &list)?;
    let loaded = Loaded {
        list_id: list.list_id.clone(),
        tasks,
        head: list.head,
        compacted: list.compacted,
        requests,
        last_request: list.last_request,
    };
    Ok((list, loaded))
}

fn tasks(connection: &Connection, list: &ListRow) -> Result<Vec<Arc<Task>>, Fault> {
    let mut statement = connection.prepare(TASKS)?;
    let mut rows = statement.query([])?;
    let mut tasks: Vec<Arc<Task>> = Vec::new();
    while let Some(row) = rows.next()? {
        let task = TaskRow::read(row)?.task()?;
        // A damaged tree may return its keys in any order.
        let previous = tasks.last().map_or(0, |task| task.id);
        if task.id <= previous {
            return Err(Fault::Damage(format!("task {} follows task {previous}", task.id)));
        }
        if task.id > list.head.last_id || task.revision > list.head.revision {
            let why = format!("it is newer than the list, which is at {:?}", list.head);
            return Err(damaged(TaskRow::NAME, task.id.into(), why));
        }
        tasks.push(Arc::new(task));
    }
    match tasks.len() as i64 == list.tasks {
        true => Ok(tasks),
        false => {
            let found = counted(tasks.len(), "task", "tasks");
            Err(Fault::Damage(format!("it has {found} instead of {}", list.tasks)))
        }
    }
}

/// Compares the newest changes with the list and with their tasks.
fn compare_newest_changes(
    connection: &Connection,
    list: &ListRow,
    tasks: &[Arc<Task>],
) -> Result<(), Fault> {
    let mut statement = connection.prepare(concat!(
        "SELECT ",
        change_columns!(),
        " FROM changes AS c WHERE revision > ?1 ORDER BY revision DESC LIMIT ?2"
    ))?;
    let mut rows = statement.query(params![list.compacted, RECOVERY_CHANGES_MAX as i64])?;
    let mut compared = HashSet::new();
    let mut some_damaged = false;
    let oldest = list.compacted.max(list.head.revision - RECOVERY_CHANGES_MAX as i64);
    for expected in (oldest + 1..=list.head.revision).rev() {
        let missing = || Fault::Damage(format!("change {expected} is missing"));
        let row = rows.next()?.ok_or_else(missing)?;
        match row.get::<_, Revision>(0)? {
            revision if revision > expected => {
                return Err(damaged(ChangeRow::NAME, revision, "it is newer than the list"));
            }
            revision if revision < expected => return Err(missing()),
            _ => {}
        }
        match ChangeRow::read(row).and_then(|row| row.change()) {
            Ok(change) if compared.insert(change.task_id) => {
                compare(&change, tasks, some_damaged)?;
            }
            Ok(_) => {}
            Err(Fault::Damage(why)) => {
                log::error!("the history is damaged: {why}");
                some_damaged = true;
            }
            Err(other) => return Err(other),
        }
    }
    match rows.next()? {
        Some(row) if list.head.revision - list.compacted < RECOVERY_CHANGES_MAX as i64 => {
            Err(damaged(ChangeRow::NAME, row.get(0)?, "it is newer than the list"))
        }
        Some(_) | None => Ok(()),
    }
}

/// Compares the newest readable change of a task with the task. Where a newer one may be
/// among the damaged ones, the task may be newer, or purged.
fn compare(change: &Change, tasks: &[Arc<Task>], some_damaged: bool) -> Result<(), Fault> {
    let task = tasks
        .binary_search_by_key(&change.task_id, |task| task.id)
        .ok()
        .and_then(|index| tasks.get(index));
    let agrees = match task {
        None => change.after.is_none() || some_damaged,
        Some(task) if task.revision > change.revision => some_damaged,
        Some(task) => change.after.as_ref() == Some(task),
    };
    match agrees {
        true => Ok(()),
        false => {
            let why = format!("it is not what change {} made of it", change.revision);
            Err(damaged(TaskRow::NAME, change.task_id.into(), why))
        }
    }
}

/// The hash of what cannot be read.
const UNREADABLE: u64 = 0;

/// The hash and the time of each idempotency record, without gaps.
fn requests(connection: &Connection, list: &ListRow) -> Result<Vec<(u64, Timestamp)>, Fault> {
    let mut statement =
        connection.prepare(&format!("{REQUESTS} WHERE number > ?1 ORDER BY number"))?;
    let mut rows = statement.query(params![list.forgotten_request])?;
    let mut requests: Vec<(u64, Timestamp)> = Vec::new();
    let mut next: RequestNumber = list.forgotten_request + 1;
    let mut last_at = Timestamp(i64::MIN);
    while let Some(row) = rows.next()? {
        let number: RequestNumber = row.get(0)?;
        if !(next..=list.last_request).contains(&number) {
            let expected = format!("{next} to {}", list.last_request);
            log::error!("{} {number} is not one of {expected}", RequestRow::NAME);
            continue;
        }
        fill_gap(&mut requests, next..number, last_at);
        match RequestRow::read(row) {
            Ok(request) => last_at = Timestamp(request.at),
            Err(Fault::Damage(why)) => log::error!("an idempotency record is damaged: {why}"),
            Err(other) => return Err(other),
        }
        // Of a damaged one, too: its id may be sound. Whoever uses it again gets an error.
        let id = row.get_ref(1)?.as_str().ok().and_then(|id| RequestId::new(id).ok()?);
        let hash = id.map(|id| id.hash());
        requests.push((hash.unwrap_or(UNREADABLE), last_at));
        next = number + 1;
    }
    fill_gap(&mut requests, next..list.last_request + 1, last_at);
    Ok(requests)
}

fn fill_gap(requests: &mut Vec<(u64, Timestamp)>, missing: Range<RequestNumber>, at: Timestamp) {
    if !missing.is_empty() {
        log::error!("idempotency records {} to {} are missing", missing.start, missing.end - 1);
        requests.extend(missing.map(|_| (UNREADABLE, at)));
    }
}
