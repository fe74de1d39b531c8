use std::sync::Arc;

use parking_lot::RwLock;

use crate::model::{Revision, TaskList};

/// The list as it is on disk, and how far back its history goes. Immutable.
#[derive(Debug, Clone)]
pub struct Published {
    pub list: TaskList,
    /// Every change after this revision is kept.
    pub compacted: Revision,
}

/// Where the state thread publishes the list before replies and updates leave. Readers
/// take it without a queue, so a read never waits for writers or for a sync.
#[derive(Clone)]
pub struct PublishedList(Arc<RwLock<Arc<Published>>>);

impl PublishedList {
    pub(super) fn new(published: Published) -> PublishedList {
        PublishedList(Arc::new(RwLock::new(Arc::new(published))))
    }

    pub fn load(&self) -> Arc<Published> {
        self.0.read().clone()
    }

    pub(super) fn store(&self, published: Published) {
        let published = Arc::new(published);
        let earlier = std::mem::replace(&mut *self.0.write(), published);
        // Freed without the lock: it may be the last holder of old tasks.
        drop(earlier);
    }
}
