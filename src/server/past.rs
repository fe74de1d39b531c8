//! History, with the answers that clients are given where there is none.

use std::sync::Arc;

use crate::limits::HISTORY_READ_MAX;
use crate::model::{Change, Rejection, Revision, Task, TaskId};
use crate::state::HistoryReader;
use crate::store::{ChangeRange, HistoryError};

/// The changes in a range.
pub fn changes(history: &mut HistoryReader, range: &ChangeRange) -> Result<Vec<Change>, Rejection> {
    history.changes(range).map_err(|error| rejection(error, range.after))
}

/// Some tasks as they were at a revision, in id order; none if there are no more.
pub fn tasks(
    history: &mut HistoryReader,
    revision: Revision,
    after: TaskId,
) -> Result<Vec<Arc<Task>>, Rejection> {
    let tasks = history.tasks_at(revision, after, HISTORY_READ_MAX);
    tasks.map_err(|error| rejection(error, revision))
}

fn rejection(error: HistoryError, asked: Revision) -> Rejection {
    match error {
        HistoryError::Gone { compacted } => Rejection::HistoryGone { asked, compacted },
        HistoryError::Store(error) => {
            log::error!("history cannot be read: {error}");
            Rejection::Unreadable
        }
    }
}
