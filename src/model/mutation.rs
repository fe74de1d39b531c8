use super::{Action, RequestId, Revision, Task, TaskId, Timestamp, Title};

/// What a client wants changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mutation {
    Add { title: Title },
    Edit { id: TaskId, edit: Edit },
}

/// What a client wants a task to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    Complete,
    Reopen,
    Delete,
    Restore,
    Retitle(Title),
}

/// Under which conditions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Guard {
    /// Makes the mutation happen once, however often it is sent.
    pub request_id: Option<RequestId>,
    /// The task must be at this revision.
    pub expected_revision: Option<Revision>,
}

impl Edit {
    /// Whether a deleted task refuses the edit. Deleting it again changes nothing,
    /// and restoring it is what it waits for.
    pub(super) fn needs_live_task(&self) -> bool {
        !matches!(self, Edit::Delete | Edit::Restore)
    }

    /// The task as the edit wants it, and what that is called; `None` if it is so
    /// already. Revision and `updated_at` are the caller's.
    pub(super) fn of(&self, task: &Task, now: Timestamp) -> Option<(Action, Task)> {
        let mut task = task.clone();
        let action = match self {
            Edit::Complete if !task.completed() => {
                task.completed_at = Some(now);
                Action::Completed
            }
            Edit::Reopen if task.completed() => {
                task.completed_at = None;
                Action::Reopened
            }
            Edit::Delete if !task.deleted => {
                task.deleted = true;
                Action::Deleted
            }
            Edit::Restore if task.deleted => {
                task.deleted = false;
                Action::Restored
            }
            Edit::Retitle(title) if *title != task.title => {
                task.title = title.clone();
                Action::Updated
            }
            Edit::Complete | Edit::Reopen | Edit::Delete | Edit::Restore | Edit::Retitle(_) => {
                return None;
            }
        };
        Some((action, task))
    }
}
