//! Reads the changes on a connection of its own. Every call is one short transaction:
//! a long one would keep the write-ahead log from starting over.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::compaction::check_order;
use super::connection;
use super::error::SqliteError;
use super::failure::Fault;
use super::list_row::ListRow;
use super::rows::{ChangeRow, Checked, change_columns, damaged};
use crate::limits::HISTORY_READ_MAX;
use crate::model::{Revision, Task, TaskId};
use crate::store::{
    ChangeRange, History, HistoryError, RecordedChange, StoreError, refuse_compacted,
};

/// The changes of a [`SqliteStore`](super::SqliteStore).
#[derive(Debug)]
pub(super) struct SqliteHistory {
    connection: Connection,
    path: PathBuf,
    /// Locked while there is a snapshot: see [`connection::shorten_log`].
    reading: Arc<Mutex<()>>,
}

impl SqliteHistory {
    pub(super) fn open(path: &Path, reading: Arc<Mutex<()>>) -> Result<SqliteHistory, SqliteError> {
        let connection = connection::open_reader(path)?;
        Ok(SqliteHistory { connection, path: path.to_owned(), reading })
    }

    fn snapshot(&self) -> Result<Snapshot<'_>, Fault> {
        let reading = self.reading.lock();
        let transaction = self.connection.unchecked_transaction()?;
        let compacted = ListRow::read(&transaction)?.compacted;
        Ok(Snapshot { transaction, _reading: reading, compacted })
    }

    fn failed(&self) -> impl Fn(Fault) -> StoreError + '_ {
        |fault| fault.at(&self.path).while_open().into()
    }
}

impl History for SqliteHistory {
    fn changes(&mut self, range: &ChangeRange) -> Result<Vec<RecordedChange>, HistoryError> {
        let snapshot = self.snapshot().map_err(self.failed())?;
        if range.complete {
            refuse_compacted(range.after, snapshot.compacted)?;
        }
        Ok(snapshot.changes(range).map_err(self.failed())?)
    }

    fn tasks_at(
        &mut self,
        revision: Revision,
        after: TaskId,
        max: usize,
    ) -> Result<Vec<Arc<Task>>, HistoryError> {
        let snapshot = self.snapshot().map_err(self.failed())?;
        refuse_compacted(revision, snapshot.compacted)?;
        Ok(snapshot.tasks_at(revision, after, max).map_err(self.failed())?)
    }
}

/// The newest change of each task that a read has passed: its revision, and the task
/// after it.
type States = HashMap<TaskId, (Revision, Option<Arc<Task>>)>;

/// One state of the database, with its compacted revision.
struct Snapshot<'h> {
    // Fields drop in this order: the lock is released when nothing is read any more.
    transaction: Transaction<'h>,
    _reading: MutexGuard<'h, ()>,
    compacted: Revision,
}

impl Snapshot<'_> {
    fn changes(&self, range: &ChangeRange) -> Result<Vec<RecordedChange>, Fault> {
        let ChangeRange { after, up_to, task, max, .. } = *range;
        let mut statement = self.transaction.prepare_cached(changes_sql(task.is_some()))?;
        let max = rows_max(max);
        let mut rows = match task {
            None => statement.query(params![after, up_to, max])?,
            Some(task) => statement.query(params![after, up_to, max, task])?,
        };
        let mut changes = Vec::new();
        let (mut states, mut newest) = (States::new(), after);
        while let Some(row) = rows.next()? {
            let row = ChangeRow::read(row)?;
            let kept = row.revision > self.compacted;
            match task {
                None => check_order(newest, row.revision, self.compacted)?,
                Some(_) if states.is_empty() && row.previous > after && kept => {
                    return Err(missing(row.previous));
                }
                Some(_) => {}
            }
            newest = row.revision;
            let mut change = row.change()?;
            change.before = self.state_before(&row, change.task_id, &states)?;
            states.insert(change.task_id, (newest, change.after.clone()));
            changes.push(RecordedChange { change, record: row.record.to_vec() });
        }
        drop(rows);
        if let Some(task) = task
            && (changes.len() as i64) < max
            && let Some(last) = self.last_of_task(task, up_to)?
            && last > newest
        {
            return Err(missing(last));
        }
        Ok(changes)
    }

    /// The revision of a task's last change up to a revision, as the next change or the task
    /// names it, not as the index finds it; 0 if it is not kept. `None` if the task is
    /// unknown, or was purged by then.
    fn last_of_task(&self, task: TaskId, up_to: Revision) -> Result<Option<Revision>, Fault> {
        let mut next = self.transaction.prepare_cached(
            "SELECT min(revision) FROM changes WHERE task_id = ?1 AND revision > ?2",
        )?;
        let Some(next) = next.query_row(params![task, up_to], |row| row.get(0))? else {
            let mut current =
                self.transaction.prepare_cached("SELECT revision FROM tasks WHERE id = ?1")?;
            return Ok(current.query_row([task], |row| row.get(0)).optional()?);
        };
        let mut statement = self.transaction.prepare_cached(CHANGE)?;
        let mut rows = statement.query(params![next])?;
        let next = ChangeRow::read(rows.next()?.ok_or_else(|| missing(next))?)?;
        match next.task_id == i64::from(task) {
            true if next.revision <= self.compacted => Ok(Some(0)),
            true => Ok(Some(next.previous)),
            false => Err(not_of_task(next.revision, task)),
        }
    }

    /// The task before a change: from an earlier change of this read, or else from the
    /// row of the change before.
    fn state_before(
        &self,
        row: &ChangeRow<'_>,
        task: TaskId,
        states: &States,
    ) -> Result<Option<Arc<Task>>, Fault> {
        match states.get(&task) {
            Some((previous, after)) if *previous == row.previous => return Ok(after.clone()),
            Some(_) => return Err(missing(row.previous)),
            None if row.previous == 0 => return Ok(None),
            None => {}
        }
        let mut statement = self.transaction.prepare_cached(CHANGE)?;
        let mut rows = statement.query(params![row.previous])?;
        let Some(found) = rows.next()? else {
            return match row.revision <= self.compacted {
                true => Ok(None), // compacted
                false => Err(missing(row.previous)),
            };
        };
        let before = ChangeRow::read(found)?.change()?;
        match before.task_id == task {
            true => Ok(before.after),
            false => Err(not_of_task(row.previous, task)),
        }
    }

    fn tasks_at(
        &self,
        revision: Revision,
        after: TaskId,
        max: usize,
    ) -> Result<Vec<Arc<Task>>, Fault> {
        let mut statement = self.transaction.prepare_cached(TASKS_AT)?;
        let mut rows = statement.query(params![revision, after, rows_max(max)])?;
        let mut tasks = Vec::new();
        while let Some(row) = rows.next()? {
            let id: TaskId = row.get(9)?;
            // What the index found, and what the rows say that it must find.
            let found: Option<Revision> = row.get(10)?;
            let expected: Revision = row.get(11)?;
            if found.unwrap_or(0) != expected || row.get::<_, Option<Revision>>(0)? != found {
                return Err(missing(expected.max(found.unwrap_or(0))));
            }
            if found.is_none() {
                // Ids grow with revisions: this task was added later, and so were the others.
                return Ok(tasks);
            }
            let change = ChangeRow::read(row)?.change()?;
            match change.after {
                Some(task) if task.id == id => tasks.push(task),
                _ => return Err(not_of_task(change.revision, id)),
            }
        }
        Ok(tasks)
    }
}

fn not_of_task(revision: Revision, task: TaskId) -> Fault {
    damaged(ChangeRow::NAME, revision, format!("it is not of task {task}"))
}

fn missing(revision: Revision) -> Fault {
    Fault::Damage(format!("change {revision} is missing"))
}

/// A transaction reads no more than this, whatever it is asked for.
fn rows_max(max: usize) -> i64 {
    max.min(HISTORY_READ_MAX) as i64
}

/// The statement that reads a range of changes: of all tasks, or of one.
pub(super) fn changes_sql(of_one_task: bool) -> &'static str {
    match of_one_task {
        false => concat!(
            "SELECT ",
            change_columns!(),
            " FROM changes AS c WHERE revision > ?1 AND revision <= ?2 ORDER BY revision LIMIT ?3"
        ),
        true => concat!(
            "SELECT ",
            change_columns!(),
            " FROM changes AS c WHERE task_id = ?4 AND revision > ?1 AND revision <= ?2
             ORDER BY revision LIMIT ?3"
        ),
    }
}

/// One change.
const CHANGE: &str =
    concat!("SELECT ", change_columns!(), " FROM changes AS c WHERE revision = ?1");

/// The newest change of each task up to a revision; the task's id; and the revision of that
/// change twice: as the index finds it, and as the task or its next change names it (0 if
/// the task was added later).
pub(super) const TASKS_AT: &str = concat!(
    "SELECT ",
    change_columns!(),
    ", t.id, t.newest,
        CASE WHEN t.next IS NULL THEN t.revision WHEN n.task_id = t.id THEN n.previous ELSE -1 END
     FROM (
        SELECT id, revision,
            (SELECT max(c.revision) FROM changes AS c
             WHERE c.task_id = tasks.id AND c.revision <= ?1) AS newest,
            (SELECT min(n.revision) FROM changes AS n
             WHERE n.task_id = tasks.id AND n.revision > ?1) AS next
        FROM tasks WHERE id > ?2 ORDER BY id LIMIT ?3
     ) AS t
     LEFT JOIN changes AS c ON c.revision = t.newest
     LEFT JOIN changes AS n ON n.revision = t.next
     ORDER BY t.id"
);
