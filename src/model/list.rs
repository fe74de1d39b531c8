use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;

use super::{
    Action, Answer, Applied, Change, Edit, Mutation, Rejection, Request, RequestId, Revision, Task,
    TaskFields, TaskId, Timestamp,
};
use crate::limits::TASK_ID_MAX;

/// The tasks at one revision. A persistent map: a clone costs O(1) and is what a
/// draft or a snapshot is.
#[derive(Debug, Clone)]
pub struct TaskList {
    list_id: Arc<str>,
    tasks: OrdMap<TaskId, Arc<Task>>,
    head: Head,
    tasks_max: u32,
}

/// Where a list is. Not derived from its tasks, since tasks can be purged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Head {
    /// The revision of the last change; 0: there was none.
    pub revision: Revision,
    /// The greatest task id ever given; 0: there was none.
    pub last_id: TaskId,
    /// The time of the last change: times never go backwards.
    pub changed_at: Timestamp,
}

impl TaskList {
    /// The list of a store: its tasks in any order.
    pub fn new(
        list_id: Arc<str>,
        tasks: impl IntoIterator<Item = Arc<Task>>,
        head: Head,
        tasks_max: u32,
    ) -> TaskList {
        let tasks: OrdMap<TaskId, Arc<Task>> = tasks.into_iter().map(|t| (t.id, t)).collect();
        debug_assert!(tasks.get_max().is_none_or(|(id, _)| *id <= head.last_id));
        debug_assert!(tasks.values().all(|task| task.revision <= head.revision));
        TaskList { list_id, tasks, head, tasks_max }
    }

    pub fn list_id(&self) -> &Arc<str> {
        &self.list_id
    }

    pub fn head(&self) -> Head {
        self.head
    }

    pub fn revision(&self) -> Revision {
        self.head.revision
    }

    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// The task with this id, deleted or not.
    pub fn get(&self, id: TaskId) -> Result<&Arc<Task>, Rejection> {
        self.tasks.get(&id).ok_or(Rejection::NotFound(id))
    }

    /// The tasks with greater ids, in id order, deleted ones included.
    pub fn after(&self, id: TaskId) -> impl Iterator<Item = &Arc<Task>> {
        self.tasks.range((Bound::Excluded(id), Bound::Unbounded)).map(|(_, task)| task)
    }

    /// The ids of the tasks that differ from an earlier version of this list. Costs as
    /// much as there are changes: what the two share is skipped.
    pub fn changed_since(&self, earlier: &TaskList) -> impl Iterator<Item = TaskId> {
        earlier.tasks.diff(&self.tasks).map(|changed| match changed {
            DiffItem::Add(id, _) | DiffItem::Remove(id, _) => *id,
            DiffItem::Update { new: (id, _), .. } => *id,
        })
    }

    /// Applies one mutation. The checks come in the order that makes a retry safe:
    /// existence, expected revision, deletion, and last whether anything changes.
    /// After a rejection nothing has changed.
    pub fn apply(&mut self, request: &Request, now: Timestamp) -> Result<Applied, Rejection> {
        let now = now.max(self.head.changed_at);
        match &request.mutation {
            Mutation::Add(fields) => self.add(fields, request, now),
            Mutation::Edit { id, edit } => self.edit(*id, edit, request, now),
        }
    }

    /// Applies a change that another server made, or that a store replays.
    pub fn replay(&mut self, change: &Change) {
        debug_assert_eq!(change.revision, self.head.revision + 1);
        match &change.after {
            Some(task) => _ = self.tasks.insert(task.id, task.clone()),
            None => _ = self.tasks.remove(&change.task_id),
        }
        self.head = Head {
            revision: change.revision,
            last_id: self.head.last_id.max(change.task_id),
            changed_at: change.at,
        };
    }

    fn add(
        &mut self,
        fields: &TaskFields,
        request: &Request,
        now: Timestamp,
    ) -> Result<Applied, Rejection> {
        if self.tasks.len() >= self.tasks_max as usize {
            return Err(Rejection::TooManyTasks { max: self.tasks_max });
        }
        if self.head.last_id == TASK_ID_MAX {
            return Err(Rejection::IdsExhausted);
        }
        let task = fields.clone().into_task(self.head.last_id + 1, now);
        Ok(self.put(Action::Added, None, task, request))
    }

    fn edit(
        &mut self,
        id: TaskId,
        edit: &Edit,
        request: &Request,
        now: Timestamp,
    ) -> Result<Applied, Rejection> {
        let task = self.get(id)?.clone();
        let expected = request.precondition.expected_revision;
        if let Some(expected) = expected.filter(|expected| *expected != task.revision) {
            return Err(Rejection::RevisionMismatch { id, expected, actual: task.revision });
        }
        if task.deleted && edit.needs_live_task() {
            return Err(Rejection::Deleted(id));
        }
        if *edit == Edit::Purge {
            return self.purge(task, request, now);
        }
        match edit.apply_to(&task, now) {
            None => Ok(Applied { changes: Vec::new(), answer: Answer::Task(task) }),
            Some((action, mut after)) => {
                after.updated_at = now;
                Ok(self.put(action, Some(task), after, request))
            }
        }
    }

    fn purge(
        &mut self,
        task: Arc<Task>,
        request: &Request,
        now: Timestamp,
    ) -> Result<Applied, Rejection> {
        if !task.deleted {
            return Err(Rejection::NotDeleted(task.id));
        }
        let (id, revision) = (task.id, self.head.revision + 1);
        let change = self.record(Action::Purged, id, (Some(task), None), now, &request.request_id);
        Ok(Applied { changes: vec![change], answer: Answer::Purged { id, revision } })
    }

    /// Gives the task the next revision and stores it.
    fn put(
        &mut self,
        action: Action,
        before: Option<Arc<Task>>,
        mut after: Task,
        request: &Request,
    ) -> Applied {
        after.revision = self.head.revision + 1;
        let (id, now, after) = (after.id, after.updated_at, Arc::new(after));
        let states = (before, Some(after.clone()));
        let change = self.record(action, id, states, now, &request.request_id);
        Applied { changes: vec![change], answer: Answer::Task(after) }
    }

    /// Makes the change from one state of a task to another.
    fn record(
        &mut self,
        action: Action,
        task_id: TaskId,
        (before, after): (Option<Arc<Task>>, Option<Arc<Task>>),
        at: Timestamp,
        request_id: &Option<RequestId>,
    ) -> Change {
        let revision = self.head.revision + 1;
        let request_id = request_id.clone();
        let batch_revision = revision; // every mutation makes one change so far
        let change =
            Change { action, task_id, revision, batch_revision, at, before, after, request_id };
        self.replay(&change);
        change
    }
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
