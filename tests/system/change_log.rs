//! The server's change log, replayed.

use std::collections::BTreeMap;

use todo::client::{CallError, Client};
use todo::wire::methods;
use todo::wire::proto::*;

/// A list, every change of it from then on, and what the server still keeps.
pub struct Log {
    pub list_id: String,
    /// The revision of the list that the log begins with.
    base: i64,
    /// The revision r is at r - base - 1.
    changes: Vec<TaskUpdate>,
    /// Each change's task before it.
    before: Vec<Option<Task>>,
    /// Each task as it was, after each of its changes.
    of_task: BTreeMap<i32, Vec<Task>>,
    /// Up to here history may be gone.
    pub compacted: i64,
}

impl Log {
    /// From changes with the revisions 1, 2, 3 and so on.
    pub fn new(list_id: &str, changes: Vec<TaskUpdate>) -> Log {
        Log::after(list_id, 0, Vec::new(), changes)
    }

    /// From the whole list at a revision and the changes that follow.
    pub fn after(list_id: &str, base: i64, tasks: Vec<Task>, changes: Vec<TaskUpdate>) -> Log {
        let of_task = |task: Task| (task.id, vec![task]);
        let mut log = Log {
            list_id: list_id.to_owned(),
            base,
            before: Vec::new(),
            of_task: tasks.into_iter().map(of_task).collect(),
            changes: Vec::new(),
            compacted: 0,
        };
        for change in changes {
            assert_eq!(change.revision, log.newest() + 1, "the log is gapless: {change}");
            assert_eq!(change.revision, change.task.revision);
            let task = change.task.clone().unwrap();
            let versions = log.of_task.entry(task.id).or_default();
            log.before.push(versions.last().cloned());
            versions.push(task);
            log.changes.push(change);
        }
        log
    }

    /// Everything, as ListChanges tells it.
    pub fn fetch(client: &Client) -> Log {
        let (changes, last) = list_changes(client, &Default::default()).unwrap();
        assert_eq!(last.compacted_revision, 0, "the log is still whole");
        Log::new(&last.list_id, changes)
    }

    pub fn newest(&self) -> i64 {
        self.base + self.changes.len() as i64
    }

    /// Whether the log tells the list at that revision.
    pub fn is_told(&self, revision: i64) -> bool {
        (self.base..=self.newest()).contains(&revision)
    }

    pub fn change(&self, revision: i64) -> Option<&TaskUpdate> {
        self.changes.get(self.at(revision)?)
    }

    /// The list as it was.
    pub fn tasks_at(&self, revision: i64, filter: Filter) -> Vec<Task> {
        let newest = |versions: &Vec<Task>| {
            let passed = versions.partition_point(|task| task.revision <= revision);
            versions[..passed].last().cloned()
        };
        let tasks = self.of_task.values().filter_map(newest);
        tasks.filter(|task| shows(filter, task)).collect()
    }

    /// Whether a change left this task like that.
    pub fn had(&self, task: &Task) -> bool {
        self.of_task.get(&task.id).is_some_and(|versions| versions.contains(task))
    }

    fn at(&self, revision: i64) -> Option<usize> {
        usize::try_from(revision - self.base - 1).ok()
    }

    /// Whether a watcher with the filter is told of the change.
    pub fn concerns(&self, filter: Filter, revision: i64) -> bool {
        let at = self.at(revision).expect("it is in the log");
        let before = self.before[at].as_ref();
        shows(filter, &self.changes[at].task) || before.is_some_and(|task| shows(filter, task))
    }

    /// The first change that such a watcher is told of, after a revision and up to another.
    pub fn next_concerning(&self, filter: Filter, after: i64, up_to: i64) -> Option<i64> {
        (after.max(self.base) + 1..=up_to.min(self.newest()))
            .find(|revision| self.concerns(filter, *revision))
    }
}

/// All pages of a listing of changes, and the last page without its changes.
pub fn list_changes(
    client: &Client,
    query: &ListChangesRequest,
) -> Result<(Vec<TaskUpdate>, ListChangesResponse), CallError> {
    let mut changes = Vec::new();
    let mut request = query.clone();
    loop {
        let mut page = client.call(&methods::LIST_CHANGES, &request)?;
        changes.append(&mut page.changes);
        request.page_token = page.next_page_token.clone();
        if request.page_token.is_empty() {
            return Ok((changes, page));
        }
    }
}

/// The contract's words on filters.
pub fn shows(filter: Filter, task: &Task) -> bool {
    match filter {
        Filter::LIVE => !task.deleted,
        Filter::OPEN => !task.completed && !task.deleted,
        Filter::COMPLETED => task.completed && !task.deleted,
        Filter::DELETED => task.deleted,
        Filter::ANY => true,
    }
}
