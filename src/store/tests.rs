//! What every store must do, tried on each. A `Subject` is a store beside what it should
//! hold, made by the model itself.

mod compaction;
mod reading;

use super::story::{Story, due_up_to};
use super::*;
use crate::model::TaskList;

struct Subject {
    store: Box<dyn Store>,
    history: Box<dyn History>,
    story: Story,
    /// Every change that was made.
    made: Vec<Change>,
    /// The list at each revision.
    lists: Vec<TaskList>,
    compacted: Revision,
}

/// Runs the test with an empty list in each kind of store.
fn with_each_store(test: impl Fn(Subject)) {
    let dir = tempfile::tempdir().unwrap();
    eprintln!("the store in memory:");
    test(Subject::new(Box::new(MemoryStore::new("l"))));
    eprintln!("SQLite's:");
    test(Subject::new(Box::new(SqliteStore::open(dir.path()).unwrap())));
}

impl Subject {
    fn new(mut store: Box<dyn Store>) -> Subject {
        let loaded = store.load().unwrap();
        assert_eq!(loaded.compacted, 0);
        let history = store.history().unwrap();
        let story = Story::of(&loaded);
        let lists = vec![story.list.clone()];
        Subject { store, history, story, made: Vec::new(), lists, compacted: 0 }
    }

    /// Commits the steps of a [`Story::turn`] as one batch.
    fn turn(&mut self, script: &str) {
        let mut batch = Batch::default();
        for step in script.split(';') {
            let made = self.story.turn(step);
            self.lists.extend(made.changes.iter().map(|_| self.story.list.clone()));
            batch.changes.extend(made.changes);
            batch.remembered.extend(made.remembered);
            batch.now = made.now;
        }
        self.store.commit(&batch).unwrap();
        self.made.extend(batch.changes);
    }

    fn random_changes(&mut self, changes: usize) {
        for _ in 0..changes {
            let step = self.story.some_step();
            self.turn(&step);
        }
    }

    fn newest(&self) -> Revision {
        self.made.len() as Revision
    }

    /// One step, and what it says.
    fn compact_up_to(&mut self, revision: Revision) -> Revision {
        self.compacted = self.store.compact(&due_up_to(revision)).unwrap();
        self.compacted
    }

    /// The changes that compaction keeps.
    fn kept(&self) -> Vec<Change> {
        let list = &self.lists[self.compacted as usize];
        let newest = |task: TaskId| list.get(task).unwrap().revision;
        let is_kept = |change: &&Change| {
            let revision = change.revision();
            revision > self.compacted || revision == newest(change.task.id)
        };
        self.made.iter().filter(is_kept).cloned().collect()
    }

    /// The changes in a range, or the compacted revision if they are gone.
    fn read(&mut self, range: &ChangeRange) -> Result<Vec<Change>, Revision> {
        gone(self.history.changes(range))
    }

    fn read_tasks_at(&mut self, at: Revision, page: usize) -> Result<Vec<Arc<Task>>, Revision> {
        read_tasks_at(&mut *self.history, at, page)
    }
}

/// All the tasks at a revision, read in pages.
fn read_tasks_at(
    history: &mut dyn History,
    revision: Revision,
    page: usize,
) -> Result<Vec<Arc<Task>>, Revision> {
    let mut tasks: Vec<Arc<Task>> = Vec::new();
    loop {
        let after = tasks.last().map_or(0, |task| task.id);
        let next = gone(history.tasks_at(revision, after, page))?;
        assert!(next.len() <= page);
        if next.is_empty() {
            return Ok(tasks);
        }
        tasks.extend(next);
    }
}

fn gone<T>(read: Result<T, HistoryError>) -> Result<T, Revision> {
    match read {
        Ok(read) => Ok(read),
        Err(HistoryError::Gone { compacted }) => Err(compacted),
        Err(HistoryError::Store(error)) => panic!("{error}"),
    }
}

fn tasks(list: &TaskList) -> Vec<Arc<Task>> {
    list.after(0).cloned().collect()
}

fn everything() -> ChangeRange {
    let (after, up_to) = (0, Revision::MAX);
    ChangeRange { after, up_to, task: None, complete: true, max: usize::MAX }
}
