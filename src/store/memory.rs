use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::{Batch, CommitError, Loaded, Store, StoreError};
use crate::limits::REQUESTS_KEPT_MIN;
use crate::model::{Remembered, RequestId};

/// Keeps nothing beyond the process: for trying things out, and for tests. Of the
/// request ids it remembers the newest [`REQUESTS_KEPT_MIN`].
pub struct MemoryStore {
    list_id: Arc<str>,
    requests: HashMap<RequestId, Remembered>,
    oldest_first: VecDeque<RequestId>,
}

impl MemoryStore {
    /// An empty list with the given id.
    pub fn new(list_id: &str) -> MemoryStore {
        MemoryStore {
            list_id: list_id.into(),
            requests: HashMap::new(),
            oldest_first: VecDeque::new(),
        }
    }
}

impl Store for MemoryStore {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        Ok(Loaded { list_id: self.list_id.clone(), tasks: Vec::new() })
    }

    fn find_request(&mut self, id: &RequestId) -> Result<Option<Remembered>, StoreError> {
        Ok(self.requests.get(id).cloned())
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        for remembered in &batch.remembered {
            let id = remembered.request_id.clone();
            self.requests.insert(id.clone(), remembered.clone());
            self.oldest_first.push_back(id);
            if self.oldest_first.len() > REQUESTS_KEPT_MIN as usize
                && let Some(oldest) = self.oldest_first.pop_front()
            {
                self.requests.remove(&oldest);
            }
        }
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}
