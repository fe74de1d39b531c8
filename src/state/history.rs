use std::sync::Arc;

use super::Recent;
use crate::model::{Change, Revision, Task, TaskId};
use crate::store::{ChangeRange, History, HistoryError};

/// Reads the changes of the list off the state thread: the newest from memory, the
/// others from the store.
pub struct HistoryReader {
    recent: Arc<Recent>,
    store: Box<dyn History>,
}

impl HistoryReader {
    pub(super) fn new(recent: Arc<Recent>, store: Box<dyn History>) -> HistoryReader {
        HistoryReader { recent, store }
    }

    /// The revision up to which everything was published.
    pub fn published(&self) -> Revision {
        self.recent.newest()
    }

    /// See [`History::changes`].
    pub fn changes(&mut self, range: &ChangeRange) -> Result<Vec<Change>, HistoryError> {
        if range.task.is_none()
            && let Some(changes) = self.recent.changes(range.after, range.up_to, range.max)
        {
            return Ok(changes);
        }
        self.store.changes(range)
    }

    /// See [`History::tasks_at`].
    pub fn tasks_at(
        &mut self,
        revision: Revision,
        after: TaskId,
        max: usize,
    ) -> Result<Vec<Arc<Task>>, HistoryError> {
        self.store.tasks_at(revision, after, max)
    }
}
