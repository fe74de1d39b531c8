//! Reads the changes on a connection of its own. Every call is one short transaction:
//! a long one would keep the write-ahead log from starting over.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use rusqlite::{Connection, Transaction, params};

use super::compaction::{check_order, compacted};
use super::failure::Fault;
use super::{connection, rows};
use crate::limits::HISTORY_READ_MAX;
use crate::model::{Change, Revision, Task, TaskId};
use crate::store::{ChangeRange, History, HistoryError, StoreError, refuse_gone};

/// The changes of a [`SqliteStore`](super::SqliteStore).
#[derive(Debug)]
pub(super) struct SqliteHistory {
    connection: Connection,
    path: PathBuf,
    /// Locked while there is a snapshot: see [`connection::shorten_log`].
    reading: Arc<Mutex<()>>,
}

impl SqliteHistory {
    pub(super) fn open(path: &Path, reading: Arc<Mutex<()>>) -> Result<SqliteHistory, StoreError> {
        let connection = connection::open_reader(path)?;
        Ok(SqliteHistory { connection, path: path.to_owned(), reading })
    }

    fn snapshot(&self) -> Result<Snapshot<'_>, Fault> {
        let reading = self.reading.lock();
        let transaction = self.connection.unchecked_transaction()?;
        let compacted = compacted(&transaction)?;
        Ok(Snapshot { transaction, _reading: reading, compacted })
    }
}

impl History for SqliteHistory {
    fn changes(&mut self, range: &ChangeRange) -> Result<Vec<Change>, HistoryError> {
        let failed = |fault: Fault| fault.at(&self.path);
        let snapshot = self.snapshot().map_err(failed)?;
        if range.complete {
            refuse_gone(range.after, snapshot.compacted)?;
        }
        Ok(snapshot.changes(range).map_err(failed)?)
    }

    fn tasks_at(
        &mut self,
        revision: Revision,
        after: TaskId,
        max: usize,
    ) -> Result<Vec<Arc<Task>>, HistoryError> {
        let failed = |fault: Fault| fault.at(&self.path);
        let snapshot = self.snapshot().map_err(failed)?;
        refuse_gone(revision, snapshot.compacted)?;
        Ok(snapshot.tasks_at(revision, after, max).map_err(failed)?)
    }
}

/// One state of the database, with its compacted revision.
struct Snapshot<'h> {
    // Fields drop in this order: the lock goes when nothing is read any more.
    transaction: Transaction<'h>,
    _reading: MutexGuard<'h, ()>,
    compacted: Revision,
}

impl Snapshot<'_> {
    fn changes(&self, range: &ChangeRange) -> Result<Vec<Change>, Fault> {
        let ChangeRange { after, up_to, task, max, .. } = *range;
        let mut statement = self.transaction.prepare_cached(changes_sql(task.is_some()))?;
        let max = rows_max(max);
        let mut rows = match task {
            None => statement.query(params![after, up_to, max])?,
            Some(task) => statement.query(params![after, up_to, max, task])?,
        };
        let mut changes = Vec::new();
        let mut previous = after;
        while let Some(row) = rows.next()? {
            let change = rows::change(row).map_err(|e| rows::unreadable("change", row, 3, e))?;
            let revision = change.revision();
            if task.is_none() {
                check_order(previous, revision, self.compacted)?;
            }
            previous = revision;
            changes.push(change);
        }
        Ok(changes)
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
            let (id, newest): (TaskId, Revision) = (row.get(7)?, row.get(8)?);
            if row.get::<_, Option<TaskId>>(0)?.is_none() {
                // Ids grow with revisions: this task came later, and so did the others.
                return match newest > revision {
                    true => Ok(tasks),
                    false => Err(Fault::Damage(format!("change {newest} is missing"))),
                };
            }
            let task = rows::task(row).map_err(|e| rows::unreadable("change", row, 3, e))?;
            if task.id != id {
                return Err(Fault::Damage(format!("change {} is not of task {id}", task.revision)));
            }
            tasks.push(Arc::new(task));
        }
        Ok(tasks)
    }
}

/// A transaction reads no more than this, whatever it is asked for.
fn rows_max(max: usize) -> i64 {
    max.min(HISTORY_READ_MAX) as i64
}

/// The statement that reads a range of changes: of all tasks, or of one.
pub(super) fn changes_sql(of_one_task: bool) -> &'static str {
    match of_one_task {
        false => {
            "SELECT task_id, title, deleted, revision, created_at, updated_at, completed_at,
                 action, was_completed, was_deleted, request_id
             FROM changes WHERE revision > ?1 AND revision <= ?2 ORDER BY revision LIMIT ?3"
        }
        true => {
            "SELECT task_id, title, deleted, revision, created_at, updated_at, completed_at,
                 action, was_completed, was_deleted, request_id
             FROM changes WHERE task_id = ?4 AND revision > ?1 AND revision <= ?2
             ORDER BY revision LIMIT ?3"
        }
    }
}

/// The newest change of each task up to a revision; nothing beside the id of a task
/// that was made later.
pub(super) const TASKS_AT: &str = "
    SELECT c.task_id, c.title, c.deleted, c.revision, c.created_at, c.updated_at,
        c.completed_at, t.id, t.revision
    FROM tasks AS t LEFT JOIN changes AS c ON c.revision =
        (SELECT max(revision) FROM changes WHERE task_id = t.id AND revision <= ?1)
    WHERE t.id > ?2 ORDER BY t.id LIMIT ?3";
