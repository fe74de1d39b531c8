//! Corrects the times that a clock which was ahead left in a list.

use rusqlite::{Connection, Row, params};

use super::error::SqliteError;
use super::failure::Fault;
use super::list_row::ListRow;
use super::rows::{ChangeRow, Checked, REQUESTS, RequestRow, TASKS, TaskRow, change_columns};
use super::{Condition, DATABASE, IfMissing, SqliteStore, inspect, schema};
use crate::limits::REPAIR_STEP;
use crate::model::{Task, Timestamp};
use crate::wire::record;

/// A row with its times corrected.
struct Corrected {
    key: i64,
    at: i64,
    record: Vec<u8>,
    checksum: u32,
}

impl SqliteStore {
    /// Replaces each time after `now` with `now`, in one transaction. Returns the number of
    /// corrected rows. The list gets a new id if there are any, because clients know its
    /// changes with other times. Damaged rows stay as they are.
    pub(super) fn correct_times(
        data_dir: &std::path::Path,
        now: Timestamp,
    ) -> Result<u64, SqliteError> {
        if data_dir.exists() && !data_dir.is_dir() {
            return Err(SqliteError::NotADirectory(data_dir.to_owned()));
        }
        let database = data_dir.join(DATABASE);
        if inspect::inspect(&database)?.is_none() {
            return Err(SqliteError::NoList(database));
        }
        let mut store = SqliteStore::open_with(data_dir, IfMissing::Refuse, schema::MIGRATIONS)?;
        store.read()?;
        let corrected = store.correct(now).map_err(|fault| fault.at(&store.path))?;
        store.finish()?;
        Ok(corrected)
    }

    fn correct(&mut self, now: Timestamp) -> Result<u64, Fault> {
        let Condition::Sound(list) = &self.condition else {
            return Err(Fault::Unfit("the store is not loaded".to_owned()));
        };
        let transaction = self.connection.unchecked_transaction()?;
        let rows = correct_tasks(&transaction, now)?
            + correct_changes(&transaction, now)?
            + correct_requests(&transaction, now)?;
        if rows == 0 && list.head.changed_at <= now {
            return Ok(0);
        }
        let mut list = ListRow { list_id: super::fresh_list_id()?, ..list.clone() };
        list.head.changed_at = list.head.changed_at.min(now);
        list.write(&transaction)?;
        transaction.commit()?;
        self.settle(&list)?;
        self.condition = Condition::Sound(list);
        Ok(rows)
    }
}

fn correct_tasks(connection: &Connection, now: Timestamp) -> Result<u64, Fault> {
    let select = format!("SELECT * FROM ({TASKS}) WHERE id > ?1 LIMIT ?2");
    let fix = |row: &Row<'_>| {
        let found = TaskRow::read(row)?;
        let Some(record) = corrected(found.task()?, now) else { return Ok(None) };
        let TaskRow { id, revision, .. } = found;
        let checksum = TaskRow { id, revision, record: &record }.checksum();
        Ok(Some(Corrected { key: id, at: 0, record, checksum }))
    };
    let mut update =
        connection.prepare("UPDATE tasks SET record = ?2, checksum = ?3 WHERE id = ?1")?;
    each_corrected(connection, &select, fix, |Corrected { key, record, checksum, .. }| {
        update.execute(params![key, record, checksum])
    })
}

fn correct_changes(connection: &Connection, now: Timestamp) -> Result<u64, Fault> {
    let select = concat!(
        "SELECT ",
        change_columns!(),
        " FROM changes AS c WHERE c.revision > ?1 ORDER BY c.revision LIMIT ?2"
    );
    let fix = |row: &Row<'_>| {
        let found = ChangeRow::read(row)?;
        let change = found.change()?;
        let task = change.after.as_deref().and_then(|task| corrected(task.clone(), now));
        if task.is_none() && change.at <= now {
            return Ok(None);
        }
        let record = task.unwrap_or_else(|| found.record.to_vec());
        let (key, at) = (found.revision, found.at.min(now.0));
        let checksum = ChangeRow { at, record: &record, ..found }.checksum();
        Ok(Some(Corrected { key, at, record, checksum }))
    };
    let mut update = connection
        .prepare("UPDATE changes SET at = ?2, record = ?3, checksum = ?4 WHERE revision = ?1")?;
    each_corrected(connection, select, fix, |Corrected { key, at, record, checksum }| {
        update.execute(params![key, at, record, checksum])
    })
}

fn correct_requests(connection: &Connection, now: Timestamp) -> Result<u64, Fault> {
    let select = format!("{REQUESTS} WHERE number > ?1 ORDER BY number LIMIT ?2");
    let fix = |row: &Row<'_>| {
        let found = RequestRow::read(row)?;
        let task = found.task()?.and_then(|task| corrected(task, now));
        if task.is_none() && found.at <= now.0 {
            return Ok(None);
        }
        let record = task.unwrap_or_else(|| found.record.to_vec());
        let (key, at) = (found.number, found.at.min(now.0));
        let checksum = RequestRow { at, record: &record, ..found }.checksum();
        Ok(Some(Corrected { key, at, record, checksum }))
    };
    let mut update = connection
        .prepare("UPDATE requests SET at = ?2, record = ?3, checksum = ?4 WHERE number = ?1")?;
    each_corrected(connection, &select, fix, |Corrected { key, at, record, checksum }| {
        update.execute(params![key, at, record, checksum])
    })
}

/// Reads the rows in steps, as a statement must not read the table that another one
/// changes. Returns the number of corrected rows.
fn each_corrected(
    connection: &Connection,
    select: &str,
    fix: impl Fn(&Row<'_>) -> Result<Option<Corrected>, Fault>,
    mut update: impl FnMut(&Corrected) -> rusqlite::Result<usize>,
) -> Result<u64, Fault> {
    let mut select = connection.prepare(select)?;
    let (mut last, mut count) = (i64::MIN, 0);
    loop {
        let (mut found, mut read) = (Vec::new(), 0);
        let mut rows = select.query(params![last, REPAIR_STEP as i64])?;
        while let Some(row) = rows.next()? {
            (last, read) = (row.get(0)?, read + 1);
            match fix(row) {
                Ok(fixed) => found.extend(fixed),
                Err(fault) => log::warn!("not corrected: {}", fault.into_damage()?),
            }
        }
        drop(rows);
        for row in &found {
            update(row)?;
        }
        count += found.len() as u64;
        if read < REPAIR_STEP {
            return Ok(count);
        }
    }
}

/// The record of the task with corrected times, `None` if none is wrong.
fn corrected(mut task: Task, now: Timestamp) -> Option<Vec<u8>> {
    let times = [&mut task.created_at, &mut task.updated_at];
    let mut wrong = false;
    for at in times.into_iter().chain(&mut task.completed_at) {
        wrong |= *at > now;
        *at = (*at).min(now);
    }
    wrong.then(|| record::encode(&task))
}
