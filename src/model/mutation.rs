use std::sync::Arc;

use super::{Action, Change, RequestId, Revision, Task, TaskFields, TaskId, TaskPatch, Timestamp};

/// A mutation as a client requests it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub mutation: Mutation,
    pub precondition: Precondition,
    /// Makes the request happen once, however often it is sent.
    pub request_id: Option<RequestId>,
}

/// What a client changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mutation {
    Add(TaskFields),
    Edit { id: TaskId, edit: Edit },
}

/// The change of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    Complete,
    Reopen,
    Delete,
    Restore,
    /// Removes a deleted task for good.
    Purge,
    Update(TaskPatch),
}

/// What must hold for a mutation to be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Precondition {
    /// The task's revision.
    pub expected_revision: Option<Revision>,
}

/// What an accepted mutation did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// In revision order, with consecutive revisions; empty if the task already is as
    /// requested.
    pub changes: Vec<Change>,
    pub answer: Answer,
}

/// What the caller receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The task after the mutation.
    Task(Arc<Task>),
    /// The task was removed by the change with this revision.
    Purged { id: TaskId, revision: Revision },
}

impl Answer {
    pub fn task_id(&self) -> TaskId {
        match self {
            Answer::Task(task) => task.id,
            Answer::Purged { id, .. } => *id,
        }
    }
}

impl From<Mutation> for Request {
    fn from(mutation: Mutation) -> Request {
        Request { mutation, precondition: Precondition::default(), request_id: None }
    }
}

impl Edit {
    /// Whether a deleted task refuses the edit. Deleting it again changes nothing;
    /// restoring and purging need a deleted task.
    pub(super) fn needs_live_task(&self) -> bool {
        !matches!(self, Edit::Delete | Edit::Restore | Edit::Purge)
    }

    /// The task as the edit leaves it, and the action; `None` if the task already is so.
    /// The list sets the revision and `updated_at`. A purge is not an edit of fields: the
    /// list removes the task itself.
    pub(super) fn apply_to(&self, task: &Task, now: Timestamp) -> Option<(Action, Task)> {
        let mut after = task.clone();
        let action = match self {
            Edit::Complete if !task.completed() => {
                after.completed_at = Some(now);
                Action::Completed
            }
            Edit::Reopen if task.completed() => {
                after.completed_at = None;
                Action::Reopened
            }
            Edit::Delete if !task.deleted => {
                after.deleted = true;
                Action::Deleted
            }
            Edit::Restore if task.deleted => {
                after.deleted = false;
                Action::Restored
            }
            Edit::Update(patch) => {
                patch.apply_to(&mut after);
                if after == *task {
                    return None;
                }
                Action::Updated
            }
            Edit::Complete | Edit::Reopen | Edit::Delete | Edit::Restore | Edit::Purge => {
                return None;
            }
        };
        Some((action, after))
    }
}
