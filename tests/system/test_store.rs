//! A store with hooks: what becomes of a proposal, and how history is read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, never, unbounded};
use todo::model::{IdempotencyRecord, Revision, Task, TaskId};
use todo::store::{
    Batch, BatchLimits, ChangeRange, CompactionDue, Event, History, HistoryError, Loaded,
    MemoryStore, RecordedChange, RequestNumber, Store, StoreError,
};

use crate::harness::receive;

/// Runs before each proposal. `NoSpace` and `Busy` refuse it, other errors leave its
/// outcome unknown.
type BeforeProposal = Box<dyn FnMut(&Batch) -> Result<(), StoreError> + Send>;

/// Runs before each read of history.
pub type BeforeRead = Box<dyn FnMut(&ChangeRange) -> Result<(), HistoryError> + Send>;

/// Delegates to another store, and runs the hooks.
pub struct TestStore {
    inner: Box<dyn Store>,
    before_proposal: BeforeProposal,
    /// Makes the hook of each history.
    before_read: fn() -> BeforeRead,
    /// The outcome of a proposal that the other store never got.
    outcome: Option<Result<Event, StoreError>>,
}

impl TestStore {
    pub fn new(inner: impl Store + 'static) -> TestStore {
        TestStore {
            inner: Box::new(inner),
            before_proposal: Box::new(|_| Ok(())),
            before_read: || Box::new(|_| Ok(())),
            outcome: None,
        }
    }

    pub fn before_proposal(
        self,
        hook: impl FnMut(&Batch) -> Result<(), StoreError> + Send + 'static,
    ) -> TestStore {
        TestStore { before_proposal: Box::new(hook), ..self }
    }

    pub fn before_read(self, make_hook: fn() -> BeforeRead) -> TestStore {
        TestStore { before_read: make_hook, ..self }
    }
}

impl Store for TestStore {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        self.inner.load()
    }

    fn batch_limits(&self) -> BatchLimits {
        self.inner.batch_limits()
    }

    fn propose(&mut self, batch: Arc<Batch>) {
        match (self.before_proposal)(&batch) {
            Ok(()) => self.inner.propose(batch),
            Err(why) => {
                use todo::store::StoreErrorKind::{Busy, NoSpace};
                self.outcome = Some(match why.kind {
                    NoSpace | Busy => Ok(Event::Refused(why)),
                    _ => Err(why),
                });
            }
        }
    }

    fn is_sole_writer(&self) -> bool {
        self.inner.is_sole_writer()
    }

    fn request_barrier(&mut self) {
        self.inner.request_barrier();
    }

    fn next(&mut self) -> Result<Option<Event>, StoreError> {
        match self.outcome.take() {
            Some(outcome) => outcome.map(Some),
            None => self.inner.next(),
        }
    }

    fn ready(&self) -> &Receiver<()> {
        self.inner.ready()
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.inner.next_deadline()
    }

    fn on_deadline(&mut self, now: Instant) -> Result<(), StoreError> {
        self.inner.on_deadline(now)
    }

    fn find_request(
        &mut self,
        number: RequestNumber,
    ) -> Result<Option<IdempotencyRecord>, StoreError> {
        self.inner.find_request(number)
    }

    fn history(&mut self) -> Result<Box<dyn History>, StoreError> {
        Ok(Box::new(TestHistory { inner: self.inner.history()?, before: (self.before_read)() }))
    }

    fn compact(&mut self, due: &CompactionDue) -> Result<Revision, StoreError> {
        self.inner.compact(due)
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        self.inner.close()
    }
}

struct TestHistory {
    inner: Box<dyn History>,
    before: BeforeRead,
}

impl History for TestHistory {
    fn changes(&mut self, range: &ChangeRange) -> Result<Vec<RecordedChange>, HistoryError> {
        (self.before)(range)?;
        self.inner.changes(range)
    }

    fn tasks_at(
        &mut self,
        revision: Revision,
        after: TaskId,
        max: usize,
    ) -> Result<Vec<Arc<Task>>, HistoryError> {
        self.inner.tasks_at(revision, after, max)
    }
}

/// A store in memory whose proposals the hook decides.
pub fn scripted(
    before_proposal: impl FnMut(&Batch) -> Result<(), StoreError> + Send + 'static,
) -> Box<dyn Store> {
    Box::new(TestStore::new(MemoryStore::new("scripted")).before_proposal(before_proposal))
}

/// Holds the commits of a store, one by one.
pub struct Gate {
    entered: Receiver<()>,
    open: Sender<()>,
}

impl Gate {
    /// Waits until a commit is held.
    pub fn entered(&self) {
        receive(&self.entered, "a commit");
    }

    /// Releases the commit that is held, or the next one.
    pub fn open(&self) {
        self.open.send(()).unwrap();
    }
}

/// A store in memory whose first commits, so many, each wait until the gate is opened.
pub fn gated(commits: usize) -> (Box<dyn Store>, Gate) {
    let (say_entered, entered) = unbounded();
    let (open, opened) = bounded(1);
    let mut left = commits;
    let store = scripted(move |_| {
        if left > 0 {
            left -= 1;
            say_entered.send(()).unwrap();
            receive(&opened, "the gate's opening");
        }
        Ok(())
    });
    (store, Gate { entered, open })
}

/// Takes this long, as a slow disk does.
pub fn take(time: Duration) {
    let _ = never::<()>().recv_timeout(time);
}
