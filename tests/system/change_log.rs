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
    /// Each task after each of its changes; `None` when it is purged.
    of_task: BTreeMap<i32, Vec<(i64, Option<Task>)>>,
    /// The revision at which each task was purged.
    purged: BTreeMap<i32, i64>,
    /// History up to here may be compacted.
    pub compacted: i64,
}

impl Log {
    /// From changes with the revisions 1, 2, 3 and so on.
    pub fn new(list_id: &str, changes: Vec<TaskUpdate>) -> Log {
        Log::after(list_id, 0, Vec::new(), changes)
    }

    /// From the whole list at a revision and the changes that follow.
    pub fn after(list_id: &str, base: i64, tasks: Vec<Task>, changes: Vec<TaskUpdate>) -> Log {
        let of_task = |task: Task| (task.id, vec![(task.revision, Some(task))]);
        let mut log = Log {
            list_id: list_id.to_owned(),
            base,
            before: Vec::new(),
            of_task: tasks.into_iter().map(of_task).collect(),
            purged: BTreeMap::new(),
            changes: Vec::new(),
            compacted: 0,
        };
        changes.into_iter().for_each(|change| log.push(change));
        log
    }

    fn push(&mut self, change: TaskUpdate) {
        let revision = change.revision;
        assert_eq!(revision, self.newest() + 1, "the log is gapless: {change}");
        assert_eq!((revision, change.previous_revision), (change.task.revision, 0));
        let is_adjacent = |last: &TaskUpdate| last.batch_revision == change.batch_revision;
        let begins = change.batch_revision == revision;
        assert!(begins || self.changes.last().is_some_and(is_adjacent), "{change}");
        let task = change.task.clone().unwrap();
        let versions = self.of_task.entry(task.id).or_default();
        let before = versions.last().and_then(|(_, task)| task.clone());
        if change.action == "PURGED" {
            assert!(before.is_some_and(|task| task.deleted), "only a deleted task is purged");
            assert_eq!(task, without_content(&task), "a purge carries id and revision only");
            self.purged.insert(task.id, revision);
            self.before.push(None);
            versions.push((revision, None));
        } else {
            assert!(!self.purged.contains_key(&task.id), "an id is not reused: {change}");
            self.before.push(before);
            versions.push((revision, Some(task)));
        }
        self.changes.push(change);
    }

    /// Everything, as ListChanges reports it.
    pub fn fetch(client: &Client) -> Log {
        let (changes, last) = list_changes(client, &Default::default()).unwrap();
        assert_eq!(last.compacted_revision, 0, "the log is still whole");
        Log::new(&last.list_id, changes)
    }

    pub fn newest(&self) -> i64 {
        self.base + self.changes.len() as i64
    }

    /// Whether the log has the list at that revision.
    pub fn is_told(&self, revision: i64) -> bool {
        (self.base..=self.newest()).contains(&revision)
    }

    pub fn change(&self, revision: i64) -> Option<&TaskUpdate> {
        self.changes.get(self.at(revision)?)
    }

    pub fn changes(&self) -> &[TaskUpdate] {
        &self.changes
    }

    /// Whether an update is the change of its revision, but for its `previous_revision` and
    /// `more`. The changes of a purged task lose their content.
    pub fn is_change(&self, update: &TaskUpdate) -> bool {
        let Some(change) = self.change(update.revision) else { return false };
        let alone = TaskUpdate { more: Vec::new(), previous_revision: 0, ..update.clone() };
        let task = without_content(&change.task);
        let lost_content = TaskUpdate { task: Some(task).into(), ..change.clone() };
        alone == *change || self.is_purged_later(change) && alone == lost_content
    }

    fn is_purged_later(&self, change: &TaskUpdate) -> bool {
        self.purged.get(&change.task.id).is_some_and(|purged| change.revision < *purged)
    }

    /// The list as it was.
    pub fn tasks_at(&self, revision: i64, filter: Filter) -> Vec<Task> {
        let newest = |versions: &Vec<(i64, Option<Task>)>| {
            let passed = versions.partition_point(|(at, _)| *at <= revision);
            versions[..passed].last().and_then(|(_, task)| task.clone())
        };
        let tasks = self.of_task.values().filter_map(newest);
        tasks.filter(|task| shows(filter, task)).collect()
    }

    /// Whether a change left this task like that.
    pub fn had(&self, task: &Task) -> bool {
        let was = |versions: &Vec<(i64, Option<Task>)>| {
            let purged = without_content(task);
            versions.iter().any(|(at, version)| match version {
                Some(version) => version == task,
                None => *task == purged && *at == task.revision,
            })
        };
        self.of_task.get(&task.id).is_some_and(was)
    }

    fn at(&self, revision: i64) -> Option<usize> {
        usize::try_from(revision - self.base - 1).ok()
    }

    /// Whether a watcher with the filter may receive the change.
    pub fn concerns(&self, filter: Filter, revision: i64) -> bool {
        let at = self.at(revision).expect("it is in the log");
        let (before, change) = (self.before[at].as_ref(), &self.changes[at]);
        change.action == "PURGED"
            || shows(filter, &change.task)
            || before.is_some_and(|task| shows(filter, task))
    }

    /// The first change that such a watcher must receive, after a revision and up to
    /// another. The changes of a task that is purged later have lost their content when
    /// they are read from the store: then the purge alone must be received.
    pub fn next_concerning(&self, filter: Filter, after: i64, up_to: i64) -> Option<i64> {
        (after.max(self.base) + 1..=up_to.min(self.newest())).find(|revision| {
            let change = self.change(*revision).expect("it is in the log");
            let may_be_lost = filter != Filter::ANY && self.is_purged_later(change);
            self.concerns(filter, *revision) && !may_be_lost
        })
    }
}

/// What is left of a purged task.
fn without_content(task: &Task) -> Task {
    Task { id: task.id, revision: task.revision, ..Default::default() }
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
