use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::limits::{COMPACTION_STEP, HISTORY_READ_MAX};
use crate::model::{Change, Revision, Task, TaskId};
use crate::store::{ChangeRange, CompactionDue};

/// The changes that are kept, as the tables of the store on disk keep them. Locked for
/// one batch, one step or one short copy at a time.
#[derive(Default)]
pub(super) struct Changes {
    by_revision: BTreeMap<Revision, Change>,
    by_task: BTreeSet<(TaskId, Revision)>,
    pub(super) compacted: Revision,
}

impl Changes {
    pub(super) fn append(&mut self, changes: &[Change]) {
        for change in changes {
            self.by_revision.insert(change.revision(), change.clone());
            self.by_task.insert((change.task.id, change.revision()));
        }
    }

    pub(super) fn compact(&mut self, due: &CompactionDue) -> Revision {
        let next = self.by_revision.range(self.compacted + 1..).take(COMPACTION_STEP);
        let passed: Vec<(TaskId, Revision)> = next
            .map(|(_, change)| &change.task)
            .take_while(|task| due.covers(task.revision, task.updated_at))
            .map(|task| (task.id, task.revision))
            .collect();
        for (task, revision) in passed {
            if let Some(superseded) = self.newest_before(task, revision) {
                self.by_task.remove(&(task, superseded));
                self.by_revision.remove(&superseded);
            }
            self.compacted = revision;
        }
        self.compacted
    }

    /// The task's newest change below the revision.
    fn newest_before(&self, task: TaskId, revision: Revision) -> Option<Revision> {
        self.by_task.range((task, 0)..(task, revision)).next_back().map(|(_, revision)| *revision)
    }

    pub(super) fn in_range(&self, range: &ChangeRange) -> Vec<Change> {
        let ChangeRange { after, up_to, task, .. } = *range;
        let max = range.max.min(HISTORY_READ_MAX);
        match task {
            _ if after >= up_to => Vec::new(),
            None => {
                let found = self.by_revision.range(after + 1..=up_to);
                found.map(|(_, change)| change.clone()).take(max).collect()
            }
            Some(task) => {
                let found = self.by_task.range((task, after + 1)..=(task, up_to));
                found
                    .filter_map(|(_, revision)| self.by_revision.get(revision).cloned())
                    .take(max)
                    .collect()
            }
        }
    }

    pub(super) fn tasks_at(&self, revision: Revision, after: TaskId, max: usize) -> Vec<Arc<Task>> {
        let mut tasks: Vec<Arc<Task>> = Vec::new();
        let mut last = after;
        while tasks.len() < max.min(HISTORY_READ_MAX)
            && let Some((id, newest)) = self.next_task_at(revision, last)
        {
            tasks.extend(self.by_revision.get(&newest).map(|change| change.task.clone()));
            last = id;
        }
        tasks
    }

    /// The next task that was there at the revision, and its newest change then.
    fn next_task_at(&self, revision: Revision, after: TaskId) -> Option<(TaskId, Revision)> {
        let (id, oldest) = *self.by_task.range((after.checked_add(1)?, 0)..).next()?;
        match oldest <= revision {
            true => Some((id, self.newest_before(id, revision.saturating_add(1))?)),
            // Ids grow with revisions: this task came later, and so did the others.
            false => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::story::{Story, due_up_to};
    use crate::store::{MemoryStore, Store};

    #[test]
    fn what_is_compacted_frees_its_memory() {
        let loaded = MemoryStore::new("l").load().unwrap();
        let mut story = Story::of(&loaded);
        let mut changes = Changes::default();
        for _ in 0..100 {
            let step = story.some_step();
            changes.append(&story.turn(&step).changes);
            changes.compact(&due_up_to(story.list.revision()));
            assert_eq!(changes.by_revision.len(), story.list.len());
            assert_eq!(changes.by_task.len(), story.list.len());
        }
    }
}
