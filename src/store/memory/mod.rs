mod changes;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::RwLock;

use self::changes::Changes;
use super::{
    Batch, ChangeRange, CommitError, CompactionDue, History, HistoryError, Loaded, Store,
    StoreError, refuse_gone,
};
use crate::limits::REQUESTS_KEPT_MIN;
use crate::model::{Change, Remembered, RequestId, Revision, Task, TaskId};

/// Keeps nothing beyond the process: for trying things out, and for tests. Of the
/// request ids it remembers the newest [`REQUESTS_KEPT_MIN`].
pub struct MemoryStore {
    list_id: Arc<str>,
    changes: Arc<RwLock<Changes>>,
    requests: HashMap<RequestId, Remembered>,
    oldest_first: VecDeque<RequestId>,
}

impl MemoryStore {
    /// An empty list with the given id.
    pub fn new(list_id: &str) -> MemoryStore {
        MemoryStore {
            list_id: list_id.into(),
            changes: Arc::default(),
            requests: HashMap::new(),
            oldest_first: VecDeque::new(),
        }
    }

    fn remember(&mut self, remembered: &Remembered) {
        let id = remembered.request_id.clone();
        self.requests.insert(id.clone(), remembered.clone());
        self.oldest_first.push_back(id);
        if self.oldest_first.len() > REQUESTS_KEPT_MIN as usize
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.requests.remove(&oldest);
        }
    }
}

impl Store for MemoryStore {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        let compacted = self.changes.read().compacted;
        Ok(Loaded { list_id: self.list_id.clone(), tasks: Vec::new(), compacted })
    }

    fn find_request(&mut self, id: &RequestId) -> Result<Option<Remembered>, StoreError> {
        Ok(self.requests.get(id).cloned())
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        self.changes.write().append(&batch.changes);
        batch.remembered.iter().for_each(|remembered| self.remember(remembered));
        Ok(())
    }

    fn history(&mut self) -> Result<Box<dyn History>, StoreError> {
        Ok(Box::new(MemoryHistory { changes: self.changes.clone() }))
    }

    fn compact(&mut self, due: &CompactionDue) -> Result<Revision, CommitError> {
        Ok(self.changes.write().compact(due))
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

/// The changes of a [`MemoryStore`].
struct MemoryHistory {
    changes: Arc<RwLock<Changes>>,
}

impl History for MemoryHistory {
    fn changes(&mut self, range: &ChangeRange) -> Result<Vec<Change>, HistoryError> {
        let changes = self.changes.read();
        if range.complete {
            refuse_gone(range.after, changes.compacted)?;
        }
        Ok(changes.in_range(range))
    }

    fn tasks_at(
        &mut self,
        revision: Revision,
        after: TaskId,
        max: usize,
    ) -> Result<Vec<Arc<Task>>, HistoryError> {
        let changes = self.changes.read();
        refuse_gone(revision, changes.compacted)?;
        Ok(changes.tasks_at(revision, after, max))
    }
}
