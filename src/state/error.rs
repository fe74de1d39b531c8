use crate::model::{Rejection, Revision};
use crate::plural::counted;

/// Why the state thread did not do what a command asked for, or why it ended a watch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    #[error(transparent)]
    Rejected(#[from] Rejection),

    // Positions.
    #[error(
        "the history up to revision {compacted} was compacted, but was requested from revision {asked}: start from the list as it is"
    )]
    HistoryCompacted { asked: Revision, compacted: Revision },
    #[error(
        "revision {asked} is in the future: the list is at revision {current}; start from the list as it is"
    )]
    RevisionInFuture { asked: Revision, current: Revision },
    #[error(
        "the position belongs to list {asked}, this is list {actual}: start from the list as it is"
    )]
    OtherList { asked: String, actual: String },

    // The store.
    #[error(
        "the server's disk is full or its log cannot grow, and nothing was changed: free some space or see the server's log, then retry"
    )]
    NoSpace,
    #[error(
        "another program has locked the server's database and nothing was changed: retry later"
    )]
    StoreBusy,
    #[error("the server cannot read its database: the server's log has the reason")]
    Unreadable,
    #[error(
        "the server cannot reach its log and nothing was changed: retry, or use another server"
    )]
    Unreachable,

    // Limits.
    #[error(
        "{} already and nothing was changed: retry later",
        counted(*max, "call waits", "calls wait")
    )]
    QueueFull { max: usize },
    #[error(
        "the server is at its limit of {}: end some, or raise --watchers-max and the limit of open files",
        counted(*max, "watch", "watches")
    )]
    TooManyWatchers { max: usize },
    #[error(
        "the watcher did not read for {seconds} s: watch again after the last revision that it received"
    )]
    WatcherStalled { seconds: u64 },
    #[error(
        "the snapshot was not read within {seconds} s: read the list in pages, then watch after its revision"
    )]
    SnapshotNotTaken { seconds: u64 },

    // The thread.
    #[error("deadline exceeded before execution: nothing was changed")]
    Expired,
    #[error("the server is shutting down")]
    ShuttingDown,
    #[error("the outcome is unknown: read the list, or retry with the same request id")]
    OutcomeUnknown,
}

impl StateError {
    /// Refuses a revision below the compacted one.
    pub fn unless_kept(asked: Revision, compacted: Revision) -> Result<(), StateError> {
        match asked >= compacted {
            true => Ok(()),
            false => Err(StateError::HistoryCompacted { asked, compacted }),
        }
    }

    /// Refuses a revision that the list has not reached.
    pub fn unless_reached(asked: Revision, current: Revision) -> Result<(), StateError> {
        match asked <= current {
            true => Ok(()),
            false => Err(StateError::RevisionInFuture { asked, current }),
        }
    }
}
