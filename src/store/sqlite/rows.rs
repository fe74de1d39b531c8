//! The rows of `tasks`, `changes` and `requests`. Each has a CRC-32C of its other columns,
//! so that damage which SQLite cannot see is reported with the row's key.

use std::sync::Arc;

use rusqlite::types::{FromSqlError, ValueRef};
use rusqlite::{Row, Statement, params};

use super::failure::Fault;
use crate::model::{
    Action, Answer, Change, Fingerprint, IdempotencyRecord, RequestId, Revision, Task, TaskId,
    Timestamp,
};
use crate::store::{RecordedChange, RequestNumber};
use crate::wire::record;

/// A row that a checksum protects.
pub(super) trait Checked<'r>: Sized {
    /// What messages call the row, before its key.
    const NAME: &'static str;
    /// The row without its checksum: the key is in the first column.
    fn columns(row: &'r Row<'_>) -> rusqlite::Result<Self>;
    /// The number of columns before the checksum.
    const COLUMNS: usize;
    fn checksum(&self) -> u32;

    /// The row of a statement that selects the columns in their order, then `checksum`.
    fn read(row: &'r Row<'_>) -> Result<Self, Fault> {
        let key: i64 = row.get(0)?;
        let found = Self::columns(row)
            .and_then(|found| Ok((found, row.get::<_, i64>(Self::COLUMNS)?)))
            .map_err(|error| damaged(Self::NAME, key, error))?;
        match found {
            (found, checksum) if checksum == i64::from(found.checksum()) => Ok(found),
            _ => Err(damaged(Self::NAME, key, "it does not match its checksum")),
        }
    }
}

/// Damage to the row with this key.
pub(super) fn damaged(name: &str, key: i64, why: impl std::fmt::Display) -> Fault {
    Fault::Damage(format!("{name} {key}: {why}"))
}

/// CRC-32C of a sequence of values. Texts and blobs are preceded by their length, so that
/// no two sequences of one table are the same bytes.
pub(super) struct Checksum(u32);

impl Checksum {
    pub(super) fn of_table(name: &str) -> Checksum {
        Checksum(crc32c::crc32c(name.as_bytes()))
    }

    pub(super) fn integers<const N: usize>(self, values: [i64; N]) -> Checksum {
        let bytes = values.map(i64::to_be_bytes);
        Checksum(crc32c::crc32c_append(self.0, bytes.as_flattened()))
    }

    pub(super) fn bytes(self, bytes: &[u8]) -> Checksum {
        let Checksum(sum) = self.integers([bytes.len() as i64]);
        Checksum(crc32c::crc32c_append(sum, bytes))
    }

    pub(super) fn value(self) -> u32 {
        self.0
    }
}

/// A task as it is now.
pub(super) struct TaskRow<'r> {
    pub id: i64,
    pub revision: Revision,
    pub record: &'r [u8],
}

pub(super) const TASKS: &str = "SELECT id, revision, record, checksum FROM tasks ORDER BY id";

pub(super) const PUT_TASK: &str = "
    INSERT INTO tasks (id, revision, record, checksum) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (id) DO UPDATE SET revision = ?2, record = ?3, checksum = ?4";

impl<'r> Checked<'r> for TaskRow<'r> {
    const NAME: &'static str = "task";
    const COLUMNS: usize = 3;

    fn columns(row: &'r Row<'_>) -> rusqlite::Result<TaskRow<'r>> {
        Ok(TaskRow { id: row.get(0)?, revision: row.get(1)?, record: blob(row, 2)? })
    }

    fn checksum(&self) -> u32 {
        let TaskRow { id, revision, record } = self;
        Checksum::of_table("tasks").integers([*id, *revision]).bytes(record).value()
    }
}

impl TaskRow<'_> {
    pub(super) fn task(&self) -> Result<Task, Fault> {
        decode(self.record, self.id, self.revision)
            .map_err(|why| damaged(TaskRow::NAME, self.id, why))
    }

    /// Adds or replaces the task with the statement [`PUT_TASK`].
    pub(super) fn put(&self, put: &mut Statement<'_>) -> rusqlite::Result<()> {
        let TaskRow { id, revision, record } = self;
        put.execute(params![id, revision, record, self.checksum()]).map(|_| ())
    }
}

/// A change, with the task after it.
pub(super) struct ChangeRow<'r> {
    pub revision: Revision,
    pub batch_revision: Revision,
    /// The revision of the same task's change before this one; 0: there was none.
    pub previous: Revision,
    pub task_id: i64,
    pub action: &'r str,
    pub at: i64,
    /// Empty if there was none.
    pub request_id: &'r str,
    /// Empty if the change purged the task, or the task was purged since.
    pub record: &'r [u8],
}

/// The columns of [`ChangeRow`] and its checksum, of the table `c`.
macro_rules! change_columns {
    () => {
        "c.revision, c.batch_revision, c.previous, c.task_id, c.action, c.at, c.request_id, \
         c.record, c.checksum"
    };
}
pub(super) use change_columns;

pub(super) const INSERT_CHANGE: &str = "
    INSERT INTO changes (revision, batch_revision, previous, task_id, action, at, request_id,
        record, checksum)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

impl<'r> Checked<'r> for ChangeRow<'r> {
    const NAME: &'static str = "change";
    const COLUMNS: usize = 8;

    fn columns(row: &'r Row<'_>) -> rusqlite::Result<ChangeRow<'r>> {
        Ok(ChangeRow {
            revision: row.get(0)?,
            batch_revision: row.get(1)?,
            previous: row.get(2)?,
            task_id: row.get(3)?,
            action: text(row, 4)?,
            at: row.get(5)?,
            request_id: text(row, 6)?,
            record: blob(row, 7)?,
        })
    }

    fn checksum(&self) -> u32 {
        let ChangeRow { revision, batch_revision, previous, task_id, action, at, .. } = self;
        Checksum::of_table("changes")
            .integers([*revision, *batch_revision, *previous, *task_id, *at])
            .bytes(action.as_bytes())
            .bytes(self.request_id.as_bytes())
            .bytes(self.record)
            .value()
    }
}

impl<'r> ChangeRow<'r> {
    /// The row of a change that has just been made, with the state before it.
    pub(super) fn new(recorded: &'r RecordedChange) -> ChangeRow<'r> {
        let RecordedChange { change, record } = recorded;
        ChangeRow {
            revision: change.revision,
            batch_revision: change.batch_revision,
            previous: change.before.as_ref().map_or(0, |before| before.revision),
            task_id: change.task_id.into(),
            action: change.action.name(),
            at: change.at.0,
            request_id: change.request_id.as_ref().map_or("", RequestId::as_str),
            record,
        }
    }

    pub(super) fn is_purge(&self) -> bool {
        self.action == Action::Purged.name()
    }

    /// The change, without the state before it.
    pub(super) fn change(&self) -> Result<Change, Fault> {
        self.checked().map_err(|why| damaged(ChangeRow::NAME, self.revision, why))
    }

    fn checked(&self) -> Result<Change, String> {
        let action = Action::from_name(self.action)
            .ok_or_else(|| format!("the action {:?} is unknown", self.action))?;
        let after = match self.record {
            [] => None,
            record => Some(Arc::new(decode(record, self.task_id, self.revision)?)),
        };
        Ok(Change {
            action,
            task_id: self.task_id.try_into().map_err(|_| "its task id is out of range")?,
            revision: self.revision,
            batch_revision: self.batch_revision,
            at: Timestamp(self.at),
            before: None,
            after,
            request_id: RequestId::new(self.request_id).map_err(|error| error.to_string())?,
        })
    }

    /// Adds the row with the statement [`INSERT_CHANGE`].
    pub(super) fn insert(&self, insert: &mut Statement<'_>) -> rusqlite::Result<()> {
        let ChangeRow { revision, batch_revision, previous, task_id, .. } = self;
        let ChangeRow { action, at, request_id, record, .. } = self;
        let sum = self.checksum();
        insert
            .execute(params![
                revision,
                batch_revision,
                previous,
                task_id,
                action,
                at,
                request_id,
                record,
                sum
            ])
            .map(|_| ())
    }
}

/// An idempotency record.
pub(super) struct RequestRow<'r> {
    pub number: RequestNumber,
    pub request_id: &'r str,
    pub fingerprint: &'r [u8],
    /// The clock of the batch, not the time of a change.
    pub at: i64,
    /// The task that was answered,
    pub task_id: i64,
    /// and its revision.
    pub revision: Revision,
    /// The record of that task; empty if it was purged.
    pub record: &'r [u8],
}

pub(super) const REQUESTS: &str = "SELECT number, request_id, fingerprint, at, task_id, revision,
    record, checksum FROM requests";

pub(super) const INSERT_REQUEST: &str = "
    INSERT INTO requests (number, request_id, fingerprint, at, task_id, revision, record, checksum)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

impl<'r> Checked<'r> for RequestRow<'r> {
    const NAME: &'static str = "idempotency record";
    const COLUMNS: usize = 7;

    fn columns(row: &'r Row<'_>) -> rusqlite::Result<RequestRow<'r>> {
        Ok(RequestRow {
            number: row.get(0)?,
            request_id: text(row, 1)?,
            fingerprint: blob(row, 2)?,
            at: row.get(3)?,
            task_id: row.get(4)?,
            revision: row.get(5)?,
            record: blob(row, 6)?,
        })
    }

    fn checksum(&self) -> u32 {
        Checksum::of_table("requests")
            .integers([self.number, self.at, self.task_id, self.revision])
            .bytes(self.request_id.as_bytes())
            .bytes(self.fingerprint)
            .bytes(self.record)
            .value()
    }
}

impl RequestRow<'_> {
    pub(super) fn request(&self) -> Result<IdempotencyRecord, Fault> {
        self.checked().map_err(|why| damaged(RequestRow::NAME, self.number, why))
    }

    /// The task that was answered; `None` if it was purged.
    pub(super) fn task(&self) -> Result<Option<Task>, Fault> {
        self.decoded().map_err(|why| damaged(RequestRow::NAME, self.number, why))
    }

    fn decoded(&self) -> Result<Option<Task>, String> {
        match self.record {
            [] => Ok(None),
            record => decode(record, self.task_id, self.revision).map(Some),
        }
    }

    /// Whether it holds what a purge removes.
    pub(super) fn has_content(&self) -> bool {
        let RequestRow { record, fingerprint, .. } = self;
        !record.is_empty() || Fingerprint::without_content(fingerprint) != *fingerprint
    }

    fn checked(&self) -> Result<IdempotencyRecord, String> {
        let request_id = RequestId::new(self.request_id).map_err(|error| error.to_string())?;
        let answer = match self.decoded()? {
            None => Answer::Purged {
                id: self.task_id.try_into().map_err(|_| "its task id is out of range")?,
                revision: self.revision,
            },
            Some(task) => Answer::Task(Arc::new(task)),
        };
        Ok(IdempotencyRecord {
            request_id: request_id.ok_or("its request_id is empty")?,
            fingerprint: Fingerprint(self.fingerprint.into()),
            answer,
        })
    }

    /// Adds the row with the statement [`INSERT_REQUEST`].
    pub(super) fn insert(&self, insert: &mut Statement<'_>) -> rusqlite::Result<()> {
        let RequestRow { number, request_id, fingerprint, at, task_id, revision, record } = self;
        let sum = self.checksum();
        insert
            .execute(params![number, request_id, fingerprint, at, task_id, revision, record, sum])
            .map(|_| ())
    }
}

/// The task of a record, which must be of this task at this revision.
fn decode(record: &[u8], id: i64, revision: Revision) -> Result<Task, String> {
    let task = record::decode(record).map_err(|error| error.to_string())?;
    match (TaskId::try_from(id), task.revision) {
        (Ok(id), of) if id == task.id && of == revision => Ok(task),
        _ => Err(format!("its record is of task {} at revision {}", task.id, task.revision)),
    }
}

fn text<'r>(row: &'r Row<'_>, column: usize) -> rusqlite::Result<&'r str> {
    value(row, column, ValueRef::as_str)
}

fn blob<'r>(row: &'r Row<'_>, column: usize) -> rusqlite::Result<&'r [u8]> {
    value(row, column, ValueRef::as_blob)
}

fn value<'r, T>(
    row: &'r Row<'_>,
    column: usize,
    of_type: impl Fn(&ValueRef<'r>) -> Result<T, FromSqlError>,
) -> rusqlite::Result<T> {
    let value = row.get_ref(column)?;
    of_type(&value).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, value.data_type(), Box::new(error))
    })
}
