use super::{RequestIdError, Revision, TaskId, TitleError};
use crate::limits::{PROGRESS_INTERVAL_MS_MAX, PROGRESS_INTERVAL_MS_MIN, TASK_ID_MAX};

/// Every reason for which the system says no. Each has a gRPC code, in the table
/// of `rpc::status`; the message is for the person who asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    // Bad input.
    #[error(transparent)]
    Title(#[from] TitleError),
    #[error(transparent)]
    RequestId(#[from] RequestIdError),
    #[error("request_id {0:?} was used for another request: use a new one for each change")]
    RequestIdReused(String),
    #[error("there is nothing to update: set title")]
    NothingToUpdate,
    #[error("filter {0} is unknown: use LIVE (0), OPEN (1), COMPLETED (2), DELETED (3) or ANY (4)")]
    Filter(i32),
    #[error("page_size {0} is negative: use 0 for everything, or the number of tasks on a page")]
    PageSize(i32),
    #[error("page_token is not one that this list gave for this request: start again without it")]
    PageToken,
    #[error("{field} {value} is negative: revisions count from 0")]
    NegativeRevision { field: &'static str, value: Revision },
    #[error(
        "progress_interval_ms {0} is not in {PROGRESS_INTERVAL_MS_MIN} to {PROGRESS_INTERVAL_MS_MAX}: use one of these, or 0 for none"
    )]
    ProgressInterval(i32),
    #[error("max_updates_per_message {0} is negative: use 0 for one update a message")]
    UpdatesPerMessage(i32),

    // Rules.
    /// The seed's words, so that its clients see what they know.
    #[error("Task not found")]
    NotFound(TaskId),
    #[error("task {id} is at revision {actual}, not {expected}: look at it again, then retry")]
    RevisionMismatch { id: TaskId, expected: Revision, actual: Revision },
    #[error("task {0} is deleted: restore it first")]
    Deleted(TaskId),

    // History.
    #[error(
        "history is kept after revision {compacted} only, not after {asked}: start from the list as it is"
    )]
    HistoryGone { asked: Revision, compacted: Revision },
    #[error(
        "revision {asked} is yet to come, the list is at {current}: start from the list as it is"
    )]
    RevisionToCome { asked: Revision, current: Revision },
    #[error("after_revision is of list {asked}, this is {actual}: start from the list as it is")]
    OtherList { asked: String, actual: String },

    // Limits.
    #[error("the list holds its {max} tasks, deleted ones counted: raise --tasks-max")]
    TooManyTasks { max: u32 },
    #[error("all task ids up to {TASK_ID_MAX} are used: start a new list")]
    IdsExhausted,
    #[error(
        "the server's disk is full or its log cannot grow, and nothing was changed: free some space or see the server's log, then retry"
    )]
    NoSpace,
    #[error("the server has {max} calls waiting and nothing was changed: retry later")]
    QueueFull { max: usize },
    #[error("the watcher did not read for {seconds} s: watch again after the last revision it got")]
    WatcherStalled { seconds: u64 },
    #[error(
        "the snapshot was not taken in {seconds} s: take the list in pages, then watch after its revision"
    )]
    SnapshotNotTaken { seconds: u64 },
    #[error(
        "the server has its {max} watches: end some, or raise --watchers-max and its limit of open files"
    )]
    TooManyWatchers { max: usize },
    #[error("the whole list is too large for one answer: ask for pages with page_size")]
    ListingTooLarge,
    #[error("the server holds many listings that clients have not taken: retry later, in pages")]
    ListingsPending,

    // The server's state.
    #[error("the server cannot read its database: its log says why")]
    Unreadable,
    #[error(
        "the server's database is locked by another program and nothing was changed: retry later"
    )]
    StoreBusy,
    #[error("the deadline passed before the call's turn came: nothing was changed")]
    Expired,
    #[error("the server is shutting down")]
    ShuttingDown,
    #[error("the server stopped before the outcome was known: retry with the same request_id")]
    OutcomeUnknown,
}

impl Rejection {
    /// Refuses a revision after which some changes are gone.
    pub fn unless_kept(asked: Revision, compacted: Revision) -> Result<(), Rejection> {
        match asked >= compacted {
            true => Ok(()),
            false => Err(Rejection::HistoryGone { asked, compacted }),
        }
    }

    /// Refuses a revision that the list has not come to.
    pub fn unless_there(asked: Revision, current: Revision) -> Result<(), Rejection> {
        match asked <= current {
            true => Ok(()),
            false => Err(Rejection::RevisionToCome { asked, current }),
        }
    }
}
