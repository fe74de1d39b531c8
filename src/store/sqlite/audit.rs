//! Compares all rows of a list with each other: the tasks with their newest changes, each
//! change with the one before it of the same task and of the same batch, and the
//! idempotency records with the numbers that the list names.

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

use rusqlite::{Connection, Row};

use super::failure::Fault;
use super::list_row::ListRow;
use super::rows::{
    ChangeRow, Checked, REQUESTS, RequestRow, TASKS, TaskRow, change_columns, damaged,
};
use crate::model::{Action, Revision};
use crate::plural::counted;
use crate::store::{CheckProgress, CheckReport, RequestNumber};

/// Rows between two reports of the progress.
const PROGRESS_ROWS: u64 = 4_096;

/// What is known of a task. Ids are those of the rows, which may be out of range.
#[derive(Default)]
struct Chain {
    row: TaskState,
    /// The task's last change that was read; 0: none was.
    newest: Revision,
    /// The checksum of that change's record.
    checksum: u32,
    purged: bool,
}

#[derive(Default, Clone, Copy)]
enum TaskState {
    #[default]
    Missing,
    Damaged,
    Sound {
        revision: Revision,
        /// The checksum of the task's record.
        checksum: u32,
    },
}

pub(super) struct Audit<'a> {
    connection: &'a Connection,
    list: ListRow,
    report: &'a mut CheckReport,
    progress: &'a mut dyn FnMut(CheckProgress),
    tasks: HashMap<i64, Chain>,
    /// Whether all rows of `tasks` were read.
    tasks_complete: bool,
    /// Changes whose rows are damaged.
    damaged: HashSet<Revision>,
    /// The last change, and the batch that it belongs to; 0: its row is damaged.
    last: Revision,
    last_batch: Revision,
    last_request: RequestNumber,
}

impl<'a> Audit<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        list: ListRow,
        report: &'a mut CheckReport,
        progress: &'a mut dyn FnMut(CheckProgress),
    ) -> Audit<'a> {
        report.revision = list.head.revision;
        report.compacted = list.compacted;
        Audit {
            last_request: list.forgotten_request,
            connection,
            list,
            report,
            progress,
            tasks: HashMap::new(),
            tasks_complete: false,
            damaged: HashSet::new(),
            last: 0,
            last_batch: 0,
        }
    }

    /// Reads all rows. An error means that the rest could not be read for another reason
    /// than damage.
    pub(super) fn run(mut self) -> Result<(), Fault> {
        if self.list.compacted > self.list.head.revision {
            self.report.add(format!(
                "the list is compacted up to revision {}, but is at revision {}",
                self.list.compacted, self.list.head.revision
            ));
        }
        let all = u64::try_from(self.list.tasks).ok();
        self.tasks_complete = self.each_row(TASKS, "tasks", all, Audit::task)?;
        self.report.tasks = self.tasks.len() as u64;
        if self.tasks_complete && self.report.tasks != all.unwrap_or(0) {
            self.report.add(format!(
                "the list has {} instead of {}",
                counted(self.report.tasks, "task", "tasks"),
                self.list.tasks
            ));
        }
        // At most one older change of each task is kept.
        let all = self.list.head.revision - self.list.compacted.min(self.list.tasks);
        let sql = concat!("SELECT ", change_columns!(), " FROM changes AS c ORDER BY c.revision");
        if self.each_row(sql, "changes", u64::try_from(all).ok(), Audit::change)? {
            self.missing_changes(self.list.head.revision);
            self.compare_tasks();
        }
        let all = u64::try_from(self.list.last_request - self.list.forgotten_request).ok();
        let sql = &format!("{REQUESTS} ORDER BY number");
        if self.each_row(sql, "idempotency records", all, Audit::request)? {
            self.missing_requests(self.last_request + 1..=self.list.last_request);
        }
        Ok(())
    }

    /// Visits each row. Returns whether all were read.
    fn each_row(
        &mut self,
        sql: &str,
        step: &'static str,
        total: Option<u64>,
        visit: fn(&mut Self, &Row<'_>) -> Result<(), Fault>,
    ) -> Result<bool, Fault> {
        let connection = self.connection;
        let mut statement = match connection.prepare(sql) {
            Ok(statement) => statement,
            Err(error) => {
                self.report.add(Fault::from(error).into_damage()?);
                return Ok(false);
            }
        };
        let mut rows = statement.query([])?;
        for done in 0.. {
            if done % PROGRESS_ROWS == 0 {
                (self.progress)(CheckProgress { step, done, total });
            }
            let found = match rows.next() {
                Ok(None) => break,
                Ok(Some(row)) => visit(self, row),
                Err(error) => {
                    let why = Fault::from(error).into_damage()?;
                    self.report.add(format!("the {step} after these cannot be read: {why}"));
                    return Ok(false);
                }
            };
            if let Err(fault) = found {
                self.report.add(fault.into_damage()?);
            }
        }
        Ok(true)
    }

    fn task(&mut self, row: &Row<'_>) -> Result<(), Fault> {
        let id: i64 = row.get(0)?;
        let chain = self.tasks.entry(id).or_default();
        chain.row = TaskState::Damaged;
        let task = TaskRow::read(row)?;
        task.task()?;
        let (revision, checksum) = (task.revision, crc32c::crc32c(task.record));
        chain.row = TaskState::Sound { revision, checksum };
        if id > self.list.head.last_id.into() || revision > self.list.head.revision {
            let why = format!("it is newer than the list, which is at {:?}", self.list.head);
            return Err(damaged(TaskRow::NAME, id, why));
        }
        Ok(())
    }

    fn change(&mut self, row: &Row<'_>) -> Result<(), Fault> {
        let revision: Revision = row.get(0)?;
        self.report.changes += 1;
        if revision > self.list.head.revision {
            return Err(damaged(ChangeRow::NAME, revision, "it is newer than the list"));
        }
        self.missing_changes(revision - 1);
        let before = std::mem::replace(&mut self.last, revision);
        let batch_before = std::mem::take(&mut self.last_batch);
        let change = match ChangeRow::read(row).and_then(|row| row.change().map(|_| row)) {
            Ok(change) => change,
            Err(fault) => {
                self.damaged.insert(revision);
                return Err(fault);
            }
        };
        self.last_batch = change.batch_revision;
        // Of compacted changes, those before it in the batch may be gone.
        let batch_known = before == revision - 1 && batch_before > 0;
        if change.batch_revision < 1
            || change.batch_revision > revision
            || batch_known && ![revision, batch_before].contains(&change.batch_revision)
        {
            self.report.add(format!(
                "change {revision}: it is of the batch of revision {}, but the change before it is of {batch_before}",
                change.batch_revision
            ));
        }
        self.compare_with_task(&change);
        self.follow_chain(&change);
        Ok(())
    }

    /// Only a purged task has changes without content.
    fn compare_with_task(&mut self, change: &ChangeRow<'_>) {
        let ChangeRow { revision, task_id, record, .. } = *change;
        let is_there = !matches!(
            self.tasks.get(&task_id).map(|chain| chain.row),
            None | Some(TaskState::Missing)
        );
        let wrong = match (change.is_purge(), record.is_empty()) {
            (true, false) => "is a purge and has content",
            (true, true) if is_there => "purged its task, which still exists",
            (false, true) if is_there => "has no content, but its task was not purged",
            (false, false) if !is_there && self.tasks_complete => {
                "has content, but its task was purged or is missing"
            }
            _ => return,
        };
        self.report.add(format!("change {revision} of task {task_id} {wrong}"));
    }

    /// Each change names the one before it of the same task.
    fn follow_chain(&mut self, change: &ChangeRow<'_>) {
        let ChangeRow { revision, previous, task_id, .. } = *change;
        let compacted = self.list.compacted;
        let chain = self.tasks.entry(task_id).or_default();
        let before = std::mem::replace(&mut chain.newest, revision);
        chain.checksum = crc32c::crc32c(change.record);
        chain.purged = change.is_purge();
        let adds = change.action == Action::Added.name();
        if revision <= compacted {
            if before > 0 {
                self.report.add(format!(
                    "change {before}: change {revision} of the same task supersedes it, and both are compacted"
                ));
            }
            return;
        }
        if previous != before && !self.damaged.contains(&previous) {
            self.report.add(format!(
                "change {revision}: it names change {previous} as the one before it of task {task_id}, but that is change {before}"
            ));
        }
        if adds != (previous == 0) {
            self.report.add(format!(
                "change {revision}: its action is {}, and change {previous} is before it",
                change.action
            ));
        }
    }

    /// Changes after the last one up to this revision are missing, except compacted ones.
    fn missing_changes(&mut self, up_to: Revision) {
        let first = self.last.max(self.list.compacted) + 1;
        match up_to - first {
            ..0 => {}
            0 => self.report.add(format!("change {first} is missing")),
            1.. => self.report.add(format!("changes {first} to {up_to} are missing")),
        }
    }

    /// Compares each task with its newest change.
    fn compare_tasks(&mut self) {
        let newest_damaged = self.damaged.iter().copied().max().unwrap_or(0);
        let mut ids: Vec<i64> = self.tasks.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            let Some(chain) = self.tasks.get(&id) else { continue };
            let newest = chain.newest;
            let wrong = match chain.row {
                TaskState::Sound { revision, .. } if self.damaged.contains(&revision) => continue,
                TaskState::Sound { revision, .. } if revision != newest => {
                    format!("it is at revision {revision}, but its newest change is {newest}")
                }
                TaskState::Sound { checksum, .. } if checksum != chain.checksum => {
                    format!("it is not what change {newest} made of it")
                }
                TaskState::Missing
                    if self.tasks_complete && !chain.purged && newest_damaged < newest =>
                {
                    format!("it is missing, and change {newest} did not purge it")
                }
                TaskState::Sound { .. } | TaskState::Missing | TaskState::Damaged => continue,
            };
            self.report.add(format!("task {id}: {wrong}"));
        }
    }

    fn request(&mut self, row: &Row<'_>) -> Result<(), Fault> {
        let number: RequestNumber = row.get(0)?;
        self.report.requests += 1;
        if !(self.last_request + 1..=self.list.last_request).contains(&number) {
            let ListRow { forgotten_request, last_request, .. } = self.list;
            let why = format!("the list has those after {forgotten_request}, up to {last_request}");
            return Err(damaged(RequestRow::NAME, number, why));
        }
        let first = std::mem::replace(&mut self.last_request, number) + 1;
        self.missing_requests(first..=number - 1);
        let request = RequestRow::read(row)?;
        request.request()?;
        if request.revision > self.list.head.revision {
            return Err(damaged(RequestRow::NAME, number, "its answer is newer than the list"));
        }
        let chain = self.tasks.get(&request.task_id);
        let is_missing = matches!(chain.map(|chain| chain.row), None | Some(TaskState::Missing));
        if is_missing && self.tasks_complete && request.has_content() {
            let why = "it has content, but its task was purged or is missing";
            return Err(damaged(RequestRow::NAME, number, why));
        }
        Ok(())
    }

    fn missing_requests(&mut self, numbers: RangeInclusive<RequestNumber>) {
        let (first, last) = numbers.into_inner();
        match last - first {
            ..0 => {}
            0 => self.report.add(format!("idempotency record {first} is missing")),
            1.. => self.report.add(format!("idempotency records {first} to {last} are missing")),
        }
    }
}
