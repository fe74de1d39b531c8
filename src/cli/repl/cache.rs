use std::collections::BTreeMap;

use crate::client::proto::{Task, TaskUpdate};
use crate::client::{UpdateKind, is_purge};
use crate::limits::COMPLETION_TASKS_MAX;

/// The newest [`COMPLETION_TASKS_MAX`] tasks that the watch reported, for completion.
#[derive(Default)]
pub(super) struct TaskCache(BTreeMap<i32, Task>);

impl TaskCache {
    pub(super) fn apply(&mut self, update: &TaskUpdate) {
        match (UpdateKind::from(update), update.task.as_ref()) {
            (UpdateKind::Reset, _) => self.0.clear(),
            (UpdateKind::Change, Some(task)) if is_purge(update) => drop(self.0.remove(&task.id)),
            (UpdateKind::Snapshot | UpdateKind::Change, Some(task)) => self.put(task.clone()),
            (UpdateKind::Snapshot | UpdateKind::Change, None)
            | (UpdateKind::Synced | UpdateKind::Progress, _) => {}
        }
    }

    pub(super) fn put(&mut self, task: Task) {
        self.0.insert(task.id, task);
        if self.0.len() > COMPLETION_TASKS_MAX {
            self.0.pop_first();
        }
    }

    /// Iterates in id order.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Task> {
        self.0.values()
    }

    pub(super) fn get(&self, id: i32) -> Option<&Task> {
        self.0.get(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purged_task_is_forgotten() {
        let mut cache = TaskCache::default();
        for (action, id, known) in
            [("ADDED", 1, vec![1]), ("DELETED", 2, vec![1, 2]), ("PURGED", 2, vec![1])]
        {
            let task = Some(Task { id, ..Default::default() }).into();
            cache.apply(&TaskUpdate { task, action: action.to_owned(), ..Default::default() });
            assert_eq!(cache.iter().map(|task| task.id).collect::<Vec<_>>(), known);
        }
    }
}
