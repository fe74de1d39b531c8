//! The step from format 2 to format 3: tasks become records, rows get checksums, and the
//! head of the list is stored.
//!
//! The old rows have no checksums: so they are checked here, for the last time, as every
//! start of the older versions did. The rows pass one by one: the memory that this takes
//! does not grow with the history.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row};

use super::commit::put_request;
use super::compaction::check_order;
use super::failure::Fault;
use super::list_row::ListRow;
use super::rows::{ChangeRow, INSERT_CHANGE, INSERT_REQUEST, PUT_TASK, TaskRow, damaged};
use crate::model::{
    Action, Answer, Edit, Fingerprint, Head, IdempotencyRecord, Mutation, Precondition, Request,
    RequestId, Revision, Task, TaskFields, TaskId, TaskPatch, Timestamp, Title,
};
use crate::store::RequestNumber;
use crate::wire::record;

/// `record` is the encoded wire message `Task`, `checksum` the CRC-32C of the row's other
/// columns. Times are microseconds since the Unix epoch. `list` has one row.
const TABLES: &str = "
CREATE TABLE list (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    list_id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    last_id INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    compacted INTEGER NOT NULL,
    tasks INTEGER NOT NULL,
    forgotten_request INTEGER NOT NULL,
    last_request INTEGER NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;
CREATE TABLE tasks (
    id INTEGER PRIMARY KEY,
    revision INTEGER NOT NULL,
    record BLOB NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;
CREATE TABLE changes (
    revision INTEGER PRIMARY KEY,
    batch_revision INTEGER NOT NULL,
    previous INTEGER NOT NULL,
    task_id INTEGER NOT NULL,
    action TEXT NOT NULL,
    at INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    record BLOB NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;
CREATE TABLE requests (
    number INTEGER PRIMARY KEY,
    request_id TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    at INTEGER NOT NULL,
    task_id INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    record BLOB NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;
";

const SET_ASIDE: &str = "
DROP INDEX changes_by_task;
ALTER TABLE tasks RENAME TO old_tasks;
ALTER TABLE changes RENAME TO old_changes;
ALTER TABLE requests RENAME TO old_requests;
";

/// The index is made when the table is full, which is faster.
const FINISH: &str = "
CREATE INDEX changes_by_task ON changes (task_id);
CREATE INDEX requests_by_task ON requests (task_id);
DROP TABLE old_tasks;
DROP TABLE old_changes;
DROP TABLE old_requests;
DROP TABLE meta;
";

pub(super) fn migrate(connection: &Connection) -> Result<(), Fault> {
    connection.execute_batch(SET_ASIDE)?;
    connection.execute_batch(TABLES)?;
    let list_id = meta(connection, "list_id")?;
    let compacted = meta(connection, "compacted_revision")?;
    let compacted: Revision = match compacted.parse() {
        Ok(revision) if revision >= 0 => revision,
        Ok(_) | Err(_) => {
            return Err(Fault::Damage(format!("its compacted revision is {compacted:?}")));
        }
    };
    let (head, mut tasks) = move_tasks(connection)?;
    if compacted > head.revision {
        return Err(Fault::Damage(format!(
            "it is compacted up to revision {compacted}, but the list is at revision {}",
            head.revision
        )));
    }
    move_changes(connection, compacted, &mut tasks)?;
    let (first_request, last_request) = move_requests(connection)?;
    let list = ListRow {
        list_id: list_id.into(),
        head,
        compacted,
        tasks: tasks.len() as i64,
        forgotten_request: first_request.map_or(0, |first| first - 1),
        last_request,
    };
    list.write(connection)?;
    Ok(connection.execute_batch(FINISH)?)
}

fn meta(connection: &Connection, key: &str) -> Result<String, Fault> {
    let value: Option<String> = connection
        .query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0))
        .optional()?;
    match value {
        Some(value) if !value.is_empty() => Ok(value),
        Some(_) | None => Err(Fault::Damage(format!("the list has no {key}"))),
    }
}

/// A task, and how far its changes were read.
struct Progress {
    /// The task's revision.
    newest: Revision,
    /// The checksum of the task's record.
    checksum: u32,
    /// The revision of the last change that was read; 0: none was.
    read: Revision,
}

fn move_tasks(connection: &Connection) -> Result<(Head, HashMap<TaskId, Progress>), Fault> {
    let mut select = connection.prepare(
        "SELECT id, title, deleted, revision, created_at, updated_at, completed_at
         FROM old_tasks ORDER BY id",
    )?;
    let mut put = connection.prepare(PUT_TASK)?;
    let mut rows = select.query([])?;
    let (mut head, mut tasks) = (Head::default(), HashMap::new());
    while let Some(row) = rows.next()? {
        let task = read("task", row, row.get(0)?, task)?;
        if task.id <= head.last_id {
            return Err(Fault::Damage(format!("task {} follows task {}", task.id, head.last_id)));
        }
        let record = record::encode(&task);
        TaskRow { id: task.id.into(), revision: task.revision, record: &record }.put(&mut put)?;
        head = Head {
            revision: head.revision.max(task.revision),
            last_id: task.id,
            changed_at: head.changed_at.max(task.updated_at),
        };
        let checksum = crc32c::crc32c(&record);
        tasks.insert(task.id, Progress { newest: task.revision, checksum, read: 0 });
    }
    Ok((head, tasks))
}

fn move_changes(
    connection: &Connection,
    compacted: Revision,
    tasks: &mut HashMap<TaskId, Progress>,
) -> Result<(), Fault> {
    let mut select = connection.prepare(
        "SELECT task_id, title, deleted, revision, created_at, updated_at, completed_at,
             action, was_completed, was_deleted, request_id
         FROM old_changes ORDER BY revision",
    )?;
    let mut insert = connection.prepare(INSERT_CHANGE)?;
    let mut rows = select.query([])?;
    let mut previous = 0;
    while let Some(row) = rows.next()? {
        let OldChange { task, action, request_id } = read("change", row, row.get(3)?, change)?;
        let revision = task.revision;
        check_order(previous, revision, compacted)?;
        previous = revision;
        let Some(progress) = tasks.get_mut(&task.id) else {
            let why = format!("it is of task {}, which is missing", task.id);
            return Err(damaged("change", revision, why));
        };
        let record = record::encode(&task);
        check_kept(progress, &task, action, compacted)?;
        check_newest(progress, &task, &record)?;
        ChangeRow {
            revision,
            batch_revision: revision,
            previous: progress.read,
            task_id: task.id.into(),
            action: action.name(),
            at: task.updated_at.0,
            request_id: request_id.as_ref().map_or("", RequestId::as_str),
            record: &record,
        }
        .insert(&mut insert)?;
        progress.read = revision;
    }
    let unmade = tasks.iter().filter(|(_, task)| task.read != task.newest);
    match unmade.min_by_key(|(id, _)| **id) {
        None => Ok(()),
        Some((id, Progress { newest, .. })) => {
            let why = format!("it is at revision {newest}, which no change made");
            Err(damaged("task", (*id).into(), why))
        }
    }
}

/// Of the changes up to the compacted revision one of each task is kept. Of the later ones
/// all are, so that the first of a task added it, unless there is an older one.
fn check_kept(
    progress: &Progress,
    task: &Task,
    action: Action,
    compacted: Revision,
) -> Result<(), Fault> {
    let Task { id, revision, .. } = task;
    match (progress.read, *revision <= compacted) {
        (0, true) | (1.., false) => Ok(()),
        (0, false) if action == Action::Added => Ok(()),
        (0, false) => Err(Fault::Damage(format!(
            "the change of task {id} before change {revision} is missing"
        ))),
        _ => Err(Fault::Damage(format!(
            "it is compacted up to revision {compacted}, but task {id} has changes before {revision}"
        ))),
    }
}

/// The newest change of a task must have made it what it is.
fn check_newest(progress: &Progress, task: &Task, record: &[u8]) -> Result<(), Fault> {
    let Task { id, revision, .. } = task;
    let Progress { newest, checksum, .. } = progress;
    if revision > newest {
        let why = format!("it is at revision {newest}, but change {revision} is newer");
        return Err(damaged("task", (*id).into(), why));
    }
    if revision == newest && *checksum != crc32c::crc32c(record) {
        let why = format!("it is not what change {revision} made of it");
        return Err(damaged("task", (*id).into(), why));
    }
    Ok(())
}

/// Returns the first and the last number.
fn move_requests(connection: &Connection) -> Result<(Option<RequestNumber>, RequestNumber), Fault> {
    let mut select = connection.prepare(
        "SELECT task_id, title, deleted, revision, created_at, updated_at, completed_at,
             seq, request_id, content, at
         FROM old_requests ORDER BY seq",
    )?;
    let mut insert = connection.prepare(INSERT_REQUEST)?;
    let mut rows = select.query([])?;
    let (mut first, mut last) = (None, 0);
    while let Some(row) = rows.next()? {
        let number: RequestNumber = row.get(7)?;
        let (at, request) = read("idempotency record", row, number, request)?;
        put_request(&mut insert, number, at, &request)?;
        first = first.or(Some(number));
        last = number;
    }
    Ok((first, last))
}

/// What cannot be read of a row, in words.
type Unreadable = Box<dyn std::error::Error + Send + Sync>;

/// Reads a row of an old table. An error has the row's key.
fn read<T>(
    name: &str,
    row: &Row<'_>,
    key: i64,
    columns: impl Fn(&Row<'_>) -> Result<T, Unreadable>,
) -> Result<T, Fault> {
    columns(row).map_err(|why| damaged(name, key, why))
}

/// The task in the first seven columns. Every rule is checked again.
fn task(row: &Row<'_>) -> Result<Task, Unreadable> {
    let task = Task {
        id: row.get(0)?,
        title: Title::stored(row.get_ref(1)?.as_str()?)?,
        deleted: row.get(2)?,
        revision: row.get(3)?,
        created_at: Timestamp(row.get(4)?),
        updated_at: Timestamp(row.get(5)?),
        completed_at: row.get::<_, Option<i64>>(6)?.map(Timestamp),
    };
    // Reading the record checks the rest.
    Ok(record::decode(&record::encode(&task))?)
}

struct OldChange {
    task: Task,
    action: Action,
    request_id: Option<RequestId>,
}

fn change(row: &Row<'_>) -> Result<OldChange, Unreadable> {
    let name = row.get_ref(7)?.as_str()?;
    let action =
        Action::from_name(name).ok_or_else(|| format!("the action {name:?} is unknown"))?;
    let flags: (Option<bool>, Option<bool>) = (row.get(8)?, row.get(9)?);
    match (action == Action::Added, flags) {
        (true, (None, None)) | (false, (Some(_), Some(_))) => {}
        _ => return Err("its action and its flags disagree".into()),
    }
    let request_id = match row.get_ref(10)?.as_str_or_null()? {
        Some(id) => Some(RequestId::new(id)?.ok_or("its request_id is empty")?),
        None => None,
    };
    Ok(OldChange { task: task(row)?, action, request_id })
}

fn request(row: &Row<'_>) -> Result<(Timestamp, IdempotencyRecord), Unreadable> {
    let request_id = RequestId::new(row.get_ref(8)?.as_str()?)?;
    let content = row.get_ref(9)?.as_str()?;
    let fingerprint =
        fingerprint(content).ok_or_else(|| format!("its content {content:?} is unknown"))?;
    let request = IdempotencyRecord {
        request_id: request_id.ok_or("its request_id is empty")?,
        fingerprint,
        answer: Answer::Task(Arc::new(task(row)?)),
    };
    Ok((Timestamp(row.get(10)?), request))
}

/// The fingerprint of an old `content`: the verb, the expected revision or nothing, the
/// task id unless the request added a task, and the title if there is one. Each is
/// separated by one space.
fn fingerprint(content: &str) -> Option<Fingerprint> {
    let (verb, rest) = content.split_once(' ')?;
    let (expected, rest) = rest.split_once(' ')?;
    let expected_revision = match expected {
        "" => None,
        revision => Some(revision.parse().ok()?),
    };
    let mutation = match verb {
        "add" => Mutation::Add(TaskFields { title: Title::stored(rest).ok()? }),
        "retitle" => {
            let (id, title) = rest.split_once(' ')?;
            let title = Some(Title::stored(title).ok()?);
            Mutation::Edit { id: id.parse().ok()?, edit: Edit::Update(TaskPatch { title }) }
        }
        _ => {
            let edit = match verb {
                "complete" => Edit::Complete,
                "reopen" => Edit::Reopen,
                "delete" => Edit::Delete,
                "restore" => Edit::Restore,
                _ => return None,
            };
            Mutation::Edit { id: rest.parse().ok()?, edit }
        }
    };
    let precondition = Precondition { expected_revision };
    Some(Fingerprint::new(&Request { mutation, precondition, request_id: None }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_contents_become_the_fingerprints_of_their_requests() {
        let title = |text| Title::new(text).unwrap();
        let edit = |id, edit| Mutation::Edit { id, edit };
        let update = |text| Edit::Update(TaskPatch { title: Some(title(text)) });
        for (content, mutation, expected_revision) in [
            ("add  milk", Mutation::Add(TaskFields { title: title("milk") }), None),
            ("add  a  b 7", Mutation::Add(TaskFields { title: title("a  b 7") }), None),
            ("complete  7", edit(7, Edit::Complete), None),
            ("reopen 0 7", edit(7, Edit::Reopen), Some(0)),
            ("delete 12 7", edit(7, Edit::Delete), Some(12)),
            ("restore  -7", edit(-7, Edit::Restore), None),
            ("retitle 3 7 a  b", edit(7, update("a  b")), Some(3)),
        ] {
            let precondition = Precondition { expected_revision };
            let request = Request { precondition, ..mutation.into() };
            assert_eq!(fingerprint(content), Some(Fingerprint::new(&request)), "{content}");
        }
        for content in
            ["", "add", "add ", "add  ", "complete  x", "move  7", "retitle  7", "add x y"]
        {
            assert_eq!(fingerprint(content), None, "{content}");
        }
    }
}
