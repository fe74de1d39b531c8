use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;

use super::{
    Action, Change, Edit, Flags, Guard, Mutation, Rejection, Revision, Task, TaskId, Timestamp,
    Title,
};

/// The tasks at one revision. A persistent map: a clone costs O(1) and is what a
/// draft or a snapshot is.
#[derive(Debug, Clone)]
pub struct TaskList {
    list_id: Arc<str>,
    tasks: OrdMap<TaskId, Arc<Task>>,
    revision: Revision,
    /// Of the last change: times never go backwards.
    changed_at: Timestamp,
    tasks_max: u32,
}

/// What an accepted mutation did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Changed(Change),
    /// The task already is as the mutation wants it: success, no new revision.
    Unchanged(Arc<Task>),
}

impl TaskList {
    /// The list of a store: its tasks in any order. Its revision is the greatest of
    /// theirs, because every change leaves its revision on a task and tasks are kept.
    pub fn new(
        list_id: Arc<str>,
        tasks: impl IntoIterator<Item = Arc<Task>>,
        tasks_max: u32,
    ) -> TaskList {
        let tasks: OrdMap<TaskId, Arc<Task>> = tasks.into_iter().map(|t| (t.id, t)).collect();
        let newest = tasks.values().max_by_key(|task| task.revision);
        let (revision, changed_at) =
            newest.map_or((0, Timestamp(0)), |task| (task.revision, task.updated_at));
        TaskList { list_id, tasks, revision, changed_at, tasks_max }
    }

    pub fn list_id(&self) -> &Arc<str> {
        &self.list_id
    }

    pub fn revision(&self) -> Revision {
        self.revision
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

    /// The greatest id, 0 if there are no tasks.
    pub fn last_id(&self) -> TaskId {
        self.tasks.get_max().map_or(0, |(id, _)| *id)
    }

    /// The ids of the tasks that are not what they were in an earlier version of this
    /// list. Costs as much as there are changes: what the two share is passed over.
    pub fn changed_since(&self, earlier: &TaskList) -> impl Iterator<Item = TaskId> {
        earlier.tasks.diff(&self.tasks).map(|changed| match changed {
            DiffItem::Add(id, _) | DiffItem::Remove(id, _) => *id,
            DiffItem::Update { new: (id, _), .. } => *id,
        })
    }

    /// Applies one mutation. The checks come in the order that makes a retry safe:
    /// existence, expected revision, deletion, and last whether anything changes.
    /// After a rejection nothing has changed.
    pub fn apply(
        &mut self,
        mutation: &Mutation,
        guard: &Guard,
        now: Timestamp,
    ) -> Result<Outcome, Rejection> {
        let now = now.max(self.changed_at);
        match mutation {
            Mutation::Add { title } => {
                let task = self.new_task(title, now)?;
                Ok(self.record(Action::Added, task, None, guard))
            }
            Mutation::Edit { id, edit } => self.edit(*id, edit, guard, now),
        }
    }

    fn new_task(&self, title: &Title, now: Timestamp) -> Result<Task, Rejection> {
        if self.tasks.len() >= self.tasks_max as usize {
            return Err(Rejection::TooManyTasks { max: self.tasks_max });
        }
        let id = self.last_id().checked_add(1).ok_or(Rejection::IdsExhausted)?;
        Ok(Task {
            id,
            title: title.clone(),
            deleted: false,
            revision: 0,
            created_at: now,
            updated_at: now,
            completed_at: None,
        })
    }

    fn edit(
        &mut self,
        id: TaskId,
        edit: &Edit,
        guard: &Guard,
        now: Timestamp,
    ) -> Result<Outcome, Rejection> {
        let task = self.get(id)?;
        if let Some(expected) = guard.expected_revision.filter(|r| *r != task.revision) {
            return Err(Rejection::RevisionMismatch { id, expected, actual: task.revision });
        }
        if task.deleted && edit.needs_live_task() {
            return Err(Rejection::Deleted(id));
        }
        let before = Flags::of(task);
        match edit.of(task, now) {
            None => Ok(Outcome::Unchanged(task.clone())),
            Some((action, mut after)) => {
                after.updated_at = now;
                Ok(self.record(action, after, Some(before), guard))
            }
        }
    }

    /// Gives the change the next revision and puts its task in place.
    fn record(
        &mut self,
        action: Action,
        mut task: Task,
        before: Option<Flags>,
        guard: &Guard,
    ) -> Outcome {
        self.revision += 1;
        self.changed_at = task.updated_at;
        task.revision = self.revision;
        let task = Arc::new(task);
        self.tasks.insert(task.id, task.clone());
        Outcome::Changed(Change { action, task, before, request_id: guard.request_id.clone() })
    }
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
