//! What every store must do, tried on each.

mod compaction;
mod reading;
mod requests;

use super::oracle::{Oracle, committed, due_up_to};
use super::*;
use crate::model::{Action, TaskList};

/// A store beside what it should hold, made by the model itself.
struct StoreUnderTest {
    store: Box<dyn Store>,
    history: Box<dyn History>,
    oracle: Oracle,
    /// Every change that was made.
    made: Vec<RecordedChange>,
    /// The list at each revision.
    lists: Vec<TaskList>,
    compacted: Revision,
}

/// Runs the test with an empty list in each kind of store.
fn with_each_store(test: impl Fn(StoreUnderTest)) {
    let dir = tempfile::tempdir().unwrap();
    eprintln!("MemoryStore:");
    test(StoreUnderTest::new(Box::new(MemoryStore::new("l"))));
    eprintln!("SqliteStore:");
    test(StoreUnderTest::new(Box::new(SqliteStore::open(dir.path()).unwrap())));
}

impl StoreUnderTest {
    fn new(mut store: Box<dyn Store>) -> StoreUnderTest {
        let loaded = store.load().unwrap();
        assert_eq!(loaded.compacted, 0);
        let history = store.history().unwrap();
        let oracle = Oracle::of(&loaded);
        let lists = vec![oracle.list.clone()];
        StoreUnderTest { store, history, oracle, made: Vec::new(), lists, compacted: 0 }
    }

    /// Commits the steps of an [`Oracle::batch`] as one batch.
    fn commit(&mut self, script: &str) {
        let mut batch = Batch::default();
        for step in script.split(';') {
            let made = self.oracle.batch(step);
            self.lists.extend(made.changes.iter().map(|_| self.oracle.list.clone()));
            batch.changes.extend(made.changes);
            batch.requests.extend(made.requests);
            batch.at = made.at;
            batch.head = made.head;
        }
        committed(&mut *self.store, &batch);
        self.made.extend(batch.changes);
    }

    fn random_changes(&mut self, changes: usize) {
        for _ in 0..changes {
            let step = self.oracle.some_step();
            self.commit(&step);
        }
    }

    fn newest(&self) -> Revision {
        self.made.len() as Revision
    }

    /// One step. Returns the compacted revision after it.
    fn compact_up_to(&mut self, revision: Revision) -> Revision {
        self.compacted = self.store.compact(&due_up_to(revision)).unwrap();
        self.compacted
    }

    /// The changes that compaction keeps, and what is kept of them.
    fn kept(&self) -> Vec<RecordedChange> {
        let purged_at = |task: TaskId| {
            self.made
                .iter()
                .map(|recorded| &recorded.change)
                .find(|change| change.task_id == task && change.action == Action::Purged)
        };
        let newest_at_compaction = |task: TaskId| {
            let of_task = self.made.iter().map(|recorded| &recorded.change);
            let of_task = of_task.filter(|change| change.task_id == task);
            of_task.map(|change| change.revision).filter(|r| *r <= self.compacted).max()
        };
        let mut kept = Vec::new();
        for recorded in &self.made {
            let Change { revision, task_id, .. } = recorded.change;
            let compacted = revision <= self.compacted;
            let purged = purged_at(task_id);
            if compacted
                && (newest_at_compaction(task_id) != Some(revision)
                    || purged.is_some_and(|purge| purge.revision <= self.compacted))
            {
                continue;
            }
            let mut recorded = recorded.clone();
            if purged.is_some() {
                recorded.change.after = None;
                recorded.record = Vec::new();
            }
            if purged.is_some() || compacted {
                recorded.change.before = None;
            }
            kept.push(recorded);
        }
        kept
    }

    /// The list at a revision, without the tasks that were purged since.
    fn tasks_at(&self, revision: Revision) -> Vec<Arc<Task>> {
        let kept = |task: &Arc<Task>| self.oracle.list.get(task.id).is_ok();
        tasks(&self.lists[revision as usize]).into_iter().filter(kept).collect()
    }

    /// The changes in a range, or the compacted revision if they were compacted.
    fn read(&mut self, range: &ChangeRange) -> Result<Vec<RecordedChange>, Revision> {
        compacted(self.history.changes(range))
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
        let next = compacted(history.tasks_at(revision, after, page))?;
        assert!(next.len() <= page);
        if next.is_empty() {
            return Ok(tasks);
        }
        tasks.extend(next);
    }
}

fn compacted<T>(read: Result<T, HistoryError>) -> Result<T, Revision> {
    match read {
        Ok(read) => Ok(read),
        Err(HistoryError::Compacted { compacted }) => Err(compacted),
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
