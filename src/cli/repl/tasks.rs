use std::collections::BTreeMap;

use crate::client::Mark;
use crate::client::proto::{Task, TaskUpdate};
use crate::limits::COMPLETION_TASKS_MAX;

/// What the watch has told of the list, for completion: the newest
/// [`COMPLETION_TASKS_MAX`] tasks.
#[derive(Default)]
pub struct KnownTasks(BTreeMap<i32, Task>);

impl KnownTasks {
    pub fn apply(&mut self, update: &TaskUpdate) {
        match (Mark::of(update), update.task.as_ref()) {
            (Mark::Reset, _) => self.0.clear(),
            (Mark::Snapshot | Mark::Change, Some(task)) => self.put(task.clone()),
            (Mark::Snapshot | Mark::Change, None) | (Mark::Synced | Mark::Progress, _) => {}
        }
    }

    pub fn put(&mut self, task: Task) {
        self.0.insert(task.id, task);
        if self.0.len() > COMPLETION_TASKS_MAX {
            self.0.pop_first();
        }
    }

    /// In id order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Task> {
        self.0.values()
    }

    pub fn get(&self, id: i32) -> Option<&Task> {
        self.0.get(&id)
    }
}
