use super::{RequestIdError, Revision, TaskId, TitleError};
use crate::limits::TASK_ID_MAX;
use crate::plural::counted;

/// Why the rules of the list refuse a mutation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error(transparent)]
    Title(#[from] TitleError),
    #[error(transparent)]
    RequestId(#[from] RequestIdError),
    #[error("request_id {0:?} was used for another request: use a new one for each change")]
    RequestIdReused(String),
    #[error("nothing to update: set title")]
    NothingToUpdate,
    /// The example's words, which its clients know.
    #[error("Task not found")]
    NotFound(TaskId),
    #[error("task {id} is at revision {actual}, not {expected}: read it again, then retry")]
    RevisionMismatch { id: TaskId, expected: Revision, actual: Revision },
    #[error("task {0} is deleted: restore it first")]
    Deleted(TaskId),
    #[error("task {0} is not deleted: delete it before you purge it")]
    NotDeleted(TaskId),
    #[error(
        "the list is at its limit of {}, deleted ones included: purge deleted tasks or raise --tasks-max",
        counted(*max, "task", "tasks")
    )]
    TooManyTasks { max: u32 },
    #[error("all task ids up to {TASK_ID_MAX} are used: start a new list")]
    IdsExhausted,
}
