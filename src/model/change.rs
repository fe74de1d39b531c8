use std::sync::Arc;

use super::{RequestId, Revision, Task, TaskId, Timestamp};

/// What a change did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    Added,
    Completed,
    Updated,
    Reopened,
    Deleted,
    Restored,
    Purged,
}

impl Action {
    pub const ALL: [Action; 7] = [
        Action::Added,
        Action::Completed,
        Action::Updated,
        Action::Reopened,
        Action::Deleted,
        Action::Restored,
        Action::Purged,
    ];

    /// The action's name on the wire and in the store.
    pub fn name(self) -> &'static str {
        match self {
            Action::Added => "ADDED",
            Action::Completed => "COMPLETED",
            Action::Updated => "UPDATED",
            Action::Reopened => "REOPENED",
            Action::Deleted => "DELETED",
            Action::Restored => "RESTORED",
            Action::Purged => "PURGED",
        }
    }

    /// The action with this name.
    pub fn from_name(name: &str) -> Option<Action> {
        Action::ALL.into_iter().find(|action| action.name() == name)
    }
}

/// One change of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub action: Action,
    pub task_id: TaskId,
    pub revision: Revision,
    /// The first revision of the changes that the same request made.
    pub batch_revision: Revision,
    /// When the change was made.
    pub at: Timestamp,
    /// The task before the change. `None`: the change added the task, or the task was
    /// purged since and its content is no longer kept.
    pub before: Option<Arc<Task>>,
    /// The task after the change. `None`: the change purged the task, or the task was
    /// purged since.
    pub after: Option<Arc<Task>>,
    /// The id of the request that made the change.
    pub request_id: Option<RequestId>,
}

impl Change {
    /// The change's size in bytes, about, as an update on the wire.
    pub fn weight(&self) -> usize {
        self.after.as_ref().map_or(Task::WEIGHT_MIN, |task| task.weight())
    }
}
