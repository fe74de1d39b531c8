//! What the database knows of the list as a whole: the one row of the table `list`.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::failure::Fault;
use super::rows::Checksum;
use crate::model::{Action, Head, Revision, TaskId, Timestamp};
use crate::store::{Batch, RequestNumber};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListRow {
    pub list_id: Arc<str>,
    pub head: Head,
    /// Every change after this revision is kept.
    pub compacted: Revision,
    /// The number of tasks, deleted ones included.
    pub tasks: i64,
    /// The number of the last idempotency record that was deleted; 0: none was.
    pub forgotten_request: RequestNumber,
    /// The number of the last idempotency record; 0: there was none.
    pub last_request: RequestNumber,
}

impl ListRow {
    pub(super) fn read(connection: &Connection) -> Result<ListRow, Fault> {
        let found = connection
            .prepare_cached(
                "SELECT list_id, revision, last_id, changed_at, compacted, tasks,
                     forgotten_request, last_request, checksum
                 FROM list WHERE one = 1",
            )?
            .query_row([], |row| Ok((ListRow::columns(row)?, row.get::<_, i64>(8)?)))
            .optional()
            .map_err(|error| match error {
                rusqlite::Error::SqliteFailure(..) => error.into(),
                other => Fault::Damage(format!("the row of the list: {other}")),
            })?;
        match found {
            Some((list, checksum)) if checksum == i64::from(list.checksum()) => Ok(list),
            Some(_) => {
                Err(Fault::Damage("the row of the list: it does not match its checksum".to_owned()))
            }
            None => Err(Fault::Damage("the row of the list is missing".to_owned())),
        }
    }

    fn columns(row: &Row<'_>) -> rusqlite::Result<ListRow> {
        let last_id: TaskId = row.get(2)?;
        let head = Head { revision: row.get(1)?, last_id, changed_at: Timestamp(row.get(3)?) };
        Ok(ListRow {
            list_id: row.get::<_, String>(0)?.into(),
            head,
            compacted: row.get(4)?,
            tasks: row.get(5)?,
            forgotten_request: row.get(6)?,
            last_request: row.get(7)?,
        })
    }

    fn checksum(&self) -> u32 {
        let Head { revision, last_id, changed_at } = self.head;
        Checksum::of_table("list")
            .bytes(self.list_id.as_bytes())
            .integers([revision, last_id.into(), changed_at.0, self.compacted])
            .integers([self.tasks, self.forgotten_request, self.last_request])
            .value()
    }

    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let Head { revision, last_id, changed_at } = self.head;
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO list (one, list_id, revision, last_id, changed_at,
                     compacted, tasks, forgotten_request, last_request, checksum)
                 VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                &*self.list_id,
                revision,
                last_id,
                changed_at.0,
                self.compacted,
                self.tasks,
                self.forgotten_request,
                self.last_request,
                self.checksum()
            ])
            .map(|_| ())
    }

    /// The row after the batch.
    pub(super) fn after(&self, batch: &Batch) -> ListRow {
        debug_assert_eq!(batch.after(), self.head.revision, "the batch continues the log");
        let count = |action| {
            batch.changes.iter().filter(|recorded| recorded.change.action == action).count() as i64
        };
        let last_request = self.last_request + batch.requests.len() as RequestNumber;
        ListRow {
            head: batch.head,
            tasks: self.tasks + count(Action::Added) - count(Action::Purged),
            forgotten_request: self.forgotten_request.max(batch.forget_requests),
            last_request,
            ..self.clone()
        }
    }
}
