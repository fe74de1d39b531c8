use rusqlite::{Connection, Row, Statement, params};

use super::error::CommitError;
use super::failure::Fault;
use super::list_row::ListRow;
use super::rows::{
    ChangeRow, Checked, INSERT_CHANGE, INSERT_REQUEST, PUT_TASK, REQUESTS, RequestRow, TaskRow,
    change_columns,
};
use super::transaction;
use crate::model::{Answer, Fingerprint, IdempotencyRecord, TaskId, Timestamp};
use crate::store::{Batch, RecordedChange, RequestNumber};
use crate::wire::record;

/// Writes the batch in one transaction, and returns the list's row after it. `Ok` means
/// that it is synced.
pub(super) fn commit(
    connection: &Connection,
    list: &ListRow,
    batch: &Batch,
) -> Result<ListRow, CommitError> {
    let after = list.after(batch);
    if after != *list {
        transaction::write(connection, || put(connection, list, &after, batch))?;
    }
    Ok(after)
}

/// Each statement is looked up once a batch, not once a row.
fn put(
    connection: &Connection,
    list: &ListRow,
    after: &ListRow,
    batch: &Batch,
) -> rusqlite::Result<()> {
    let mut put_task = connection.prepare_cached(PUT_TASK)?;
    let mut insert_change = connection.prepare_cached(INSERT_CHANGE)?;
    for recorded in &batch.changes {
        let RecordedChange { change, record } = recorded;
        if change.after.is_some() {
            let (id, revision) = (change.task_id.into(), change.revision);
            TaskRow { id, revision, record }.put(&mut put_task)?;
        }
        ChangeRow::new(recorded).insert(&mut insert_change)?;
    }
    let mut insert_request = connection.prepare_cached(INSERT_REQUEST)?;
    for (number, request) in (list.last_request + 1..).zip(&batch.requests) {
        put_request(&mut insert_request, number, batch.at, request)?;
    }
    // Last, because the batch may have made what it purges.
    for recorded in batch.changes.iter().filter(|recorded| recorded.change.after.is_none()) {
        purge(connection, recorded.change.task_id)?;
    }
    if after.forgotten_request > list.forgotten_request {
        connection
            .prepare_cached("DELETE FROM requests WHERE number <= ?1")?
            .execute(params![after.forgotten_request])?;
    }
    after.write(connection)
}

pub(super) fn put_request(
    insert: &mut Statement<'_>,
    number: RequestNumber,
    at: Timestamp,
    request: &IdempotencyRecord,
) -> rusqlite::Result<()> {
    let (task_id, revision, record) = match &request.answer {
        Answer::Task(task) => (task.id, task.revision, record::encode(task)),
        Answer::Purged { id, revision } => (*id, *revision, Vec::new()),
    };
    RequestRow {
        number,
        request_id: request.request_id.as_str(),
        fingerprint: &request.fingerprint.0,
        at: at.0,
        task_id: task_id.into(),
        revision,
        record: &record,
    }
    .insert(insert)
}

/// Deletes the task and the content of its changes and idempotency records. A damaged row
/// stays as it is: its task id may be wrong.
fn purge(connection: &Connection, task: TaskId) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM tasks WHERE id = ?1")?.execute(params![task])?;
    let changes = concat!(
        "SELECT ",
        change_columns!(),
        " FROM changes AS c WHERE task_id = ?1 AND revision > ?2 ORDER BY revision LIMIT 1"
    );
    let mut update = connection
        .prepare_cached("UPDATE changes SET record = x'', checksum = ?2 WHERE revision = ?1")?;
    each_row(
        connection,
        changes,
        task,
        |row| {
            let change = ChangeRow::read(row)?;
            let checksum = ChangeRow { record: &[], ..change }.checksum();
            Ok(Emptied { fingerprint: Vec::new(), checksum })
        },
        |revision, Emptied { checksum, .. }| update.execute(params![revision, checksum]),
    )?;
    let requests = format!("{REQUESTS} WHERE task_id = ?1 AND number > ?2 ORDER BY number LIMIT 1");
    let mut update = connection.prepare_cached(
        "UPDATE requests SET record = x'', fingerprint = ?2, checksum = ?3 WHERE number = ?1",
    )?;
    each_row(
        connection,
        &requests,
        task,
        |row| {
            let request = RequestRow::read(row)?;
            let fingerprint = Fingerprint::without_content(request.fingerprint);
            let checksum = RequestRow { record: &[], fingerprint, ..request }.checksum();
            Ok(Emptied { fingerprint: fingerprint.to_vec(), checksum })
        },
        |number, Emptied { fingerprint, checksum }| {
            update.execute(params![number, fingerprint, checksum])
        },
    )
}

/// What is left of a row of a purged task.
struct Emptied {
    fingerprint: Vec<u8>,
    checksum: u32,
}

/// Updates the rows of a task one by one: a statement must not read the table that another
/// one changes.
fn each_row(
    connection: &Connection,
    select: &str,
    task: TaskId,
    empty: impl Fn(&Row<'_>) -> Result<Emptied, Fault>,
    mut update: impl FnMut(i64, Emptied) -> rusqlite::Result<usize>,
) -> rusqlite::Result<()> {
    let mut select = connection.prepare_cached(select)?;
    let mut last: i64 = 0;
    loop {
        let mut rows = select.query(params![task, last])?;
        let Some(row) = rows.next()? else { return Ok(()) };
        last = row.get(0)?;
        let emptied = match empty(row) {
            Ok(emptied) => emptied,
            Err(Fault::Sqlite(error)) => return Err(error),
            Err(_damaged) => continue,
        };
        drop(rows);
        update(last, emptied)?;
    }
}
