use std::sync::Arc;

use super::{RequestId, Revision, Task};

/// What a change did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    Added,
    Completed,
    Updated,
    Reopened,
    Deleted,
    Restored,
}

impl Action {
    pub const ALL: [Action; 6] = [
        Action::Added,
        Action::Completed,
        Action::Updated,
        Action::Reopened,
        Action::Deleted,
        Action::Restored,
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
        }
    }
}

/// The part of a task that filters look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags {
    pub completed: bool,
    pub deleted: bool,
}

impl Flags {
    pub fn of(task: &Task) -> Flags {
        Flags { completed: task.completed(), deleted: task.deleted }
    }
}

/// One change of the list. Its revision and time are those of the task after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub action: Action,
    /// The task after the change.
    pub task: Arc<Task>,
    /// The task's flags before the change; `None` if it did not exist.
    pub before: Option<Flags>,
    /// Of the request that caused the change.
    pub request_id: Option<RequestId>,
}

impl Change {
    pub fn revision(&self) -> Revision {
        self.task.revision
    }
}
