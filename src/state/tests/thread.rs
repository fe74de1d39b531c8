//! What needs commands to meet in one batch, and what ends the thread.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded, never, unbounded};

use super::{Answers, DEADLINE, add_request, answer, mutate};
use crate::model::{IdempotencyRecord, Rejection, Revision, Timestamp};
use crate::state::log::EncodedUpdates;
use crate::state::{Hooks, Limits, Running, StateError, StateHandle, StateThread, spawn};
use crate::store::{
    Batch, BatchLimits, CompactionDue, Event, History, Loaded, MemoryStore, RecordedChange,
    RequestNumber, Store, StoreError, StoreErrorKind,
};

/// Reports each proposal, and waits for the test to say what becomes of it.
struct Gated {
    inner: MemoryStore,
    proposals: Sender<Arc<Batch>>,
    outcomes: Receiver<Result<(), StoreError>>,
    events: VecDeque<Result<Event, StoreError>>,
    ready: Receiver<()>,
}

fn failed(why: impl ToString) -> StoreError {
    StoreError::new(StoreErrorKind::Failed, why.to_string())
}

impl Store for Gated {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        self.inner.load()
    }

    fn batch_limits(&self) -> BatchLimits {
        self.inner.batch_limits()
    }

    fn propose(&mut self, batch: Arc<Batch>) {
        let _ = self.proposals.send(batch.clone());
        let outcome = match self.outcomes.recv_timeout(DEADLINE) {
            Ok(Ok(())) => {
                self.inner.propose(batch);
                return;
            }
            Ok(Err(error)) => match error.kind {
                StoreErrorKind::NoSpace | StoreErrorKind::Busy => Ok(Event::Refused(error)),
                StoreErrorKind::Damaged | StoreErrorKind::Failed => Err(error),
            },
            Err(gone) => Err(failed(gone)),
        };
        self.events.push_back(outcome);
    }

    fn is_sole_writer(&self) -> bool {
        true
    }

    fn request_barrier(&mut self) {
        self.inner.request_barrier();
    }

    fn next(&mut self) -> Result<Option<Event>, StoreError> {
        match self.events.pop_front() {
            Some(event) => event.map(Some),
            None => self.inner.next(),
        }
    }

    fn ready(&self) -> &Receiver<()> {
        &self.ready
    }

    fn next_deadline(&self) -> Option<Instant> {
        None
    }

    fn on_deadline(&mut self, _now: Instant) -> Result<(), StoreError> {
        Ok(())
    }

    fn find_request(
        &mut self,
        number: RequestNumber,
    ) -> Result<Option<IdempotencyRecord>, StoreError> {
        self.inner.find_request(number)
    }

    fn history(&mut self) -> Result<Box<dyn History>, StoreError> {
        self.inner.history()
    }

    fn compact(&mut self, due: &CompactionDue) -> Result<Revision, StoreError> {
        self.inner.compact(due)
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

struct NoUpdates;

impl EncodedUpdates for NoUpdates {
    fn encode(_: Revision, _: &[&RecordedChange]) -> NoUpdates {
        NoUpdates
    }

    fn concat(_: &[Arc<NoUpdates>]) -> NoUpdates {
        NoUpdates
    }
}

struct Fixture {
    state: StateHandle,
    thread: StateThread,
    proposals: Receiver<Arc<Batch>>,
    outcomes: Sender<Result<(), StoreError>>,
}

impl Fixture {
    fn start() -> Fixture {
        let (proposals, proposed) = bounded(16);
        let (outcomes, outcome) = bounded(16);
        let store = Gated {
            inner: MemoryStore::new("l"),
            proposals,
            outcomes: outcome,
            events: VecDeque::new(),
            ready: never(),
        };
        let hooks = Hooks { flush: Box::new(|| {}), clock: || Timestamp(0) };
        let running = spawn::<NoUpdates>(Box::new(store), Limits::default(), hooks, 0).unwrap();
        let Running { handle, thread, .. } = running;
        Fixture { state: handle, thread, proposals: proposed, outcomes }
    }

    fn add(&self, title: &str, request_id: &str) -> Answers {
        let (command, answer) = mutate(add_request(title, request_id));
        assert!(self.state.submit(command));
        answer
    }

    fn proposal(&self) -> Arc<Batch> {
        self.proposals.recv_timeout(DEADLINE).expect("a proposal")
    }
}

#[test]
fn queued_commands_are_one_batch_and_repeats_in_it_happen_once() {
    let fixture = Fixture::start();
    let first = fixture.add("first", "");
    assert_eq!(fixture.proposal().changes.len(), 1);
    let queued = [
        fixture.add("milk", "r"),
        fixture.add("milk", "r"),
        fixture.add("bread", "r"),
        fixture.add("bread", "s"),
    ];
    fixture.outcomes.send(Ok(())).unwrap();
    assert_eq!(answer(&first), Ok((1, 1)));
    let batch = fixture.proposal();
    assert_eq!((batch.changes.len(), batch.requests.len()), (2, 2));
    fixture.outcomes.send(Ok(())).unwrap();
    let reused = Err(Rejection::RequestIdReused("r".to_owned()).into());
    let answers = queued.map(|queued| answer(&queued));
    assert_eq!(answers, [Ok((2, 2)), Ok((2, 2)), reused, Ok((3, 3))]);
    assert!(fixture.proposals.is_empty());
    fixture.thread.stop().unwrap();
}

/// A read never waits for a commit: it takes the list as it was published.
#[test]
fn reads_do_not_wait_for_a_commit_and_see_it_before_its_reply() {
    let fixture = Fixture::start();
    let added = fixture.add("milk", "");
    fixture.proposal();
    assert_eq!(fixture.state.published().list.revision(), 0, "not committed");
    fixture.outcomes.send(Ok(())).unwrap();
    assert_eq!(answer(&added), Ok((1, 1)));
    assert_eq!(fixture.state.published().list.revision(), 1);
    fixture.thread.stop().unwrap();
}

#[test]
fn queued_commands_are_executed_before_the_stop_and_later_ones_refused() {
    let fixture = Fixture::start();
    let state = fixture.state.clone();
    let held = fixture.add("held", "");
    fixture.proposal();
    let queued = fixture.add("queued", "");
    let Fixture { thread, proposals, outcomes, .. } = fixture;
    let stopping = std::thread::spawn(move || thread.stop());
    outcomes.send(Ok(())).unwrap();
    proposals.recv_timeout(DEADLINE).expect("the queued command's proposal");
    outcomes.send(Ok(())).unwrap();
    stopping.join().unwrap().unwrap();
    assert_eq!((answer(&held), answer(&queued)), (Ok((1, 1)), Ok((2, 2))));
    let (command, late) = mutate(add_request("late", ""));
    assert!(!state.submit(command));
    assert_eq!(answer(&late), Err(StateError::ShuttingDown));
}

#[test]
fn a_thread_that_fails_replies_that_the_outcome_is_unknown() {
    let fixture = Fixture::start();
    let held = fixture.add("held", "");
    fixture.proposal();
    let queued = fixture.add("queued", "");
    let Fixture { thread, outcomes, .. } = fixture;
    outcomes.send(Err(failed("the sync failed"))).unwrap();
    assert_eq!(answer(&held), Err(StateError::OutcomeUnknown));
    assert_eq!(answer(&queued), Err(StateError::OutcomeUnknown));
    assert!(thread.ended().recv().is_err());
    let fatal = thread.stop().err().expect("it failed");
    assert_eq!(format!("{:#}", anyhow::Error::new(fatal)), "the sync failed", "reported once");
}

/// Passes on what is logged. There is one for the process: only one test may install it.
struct LogTo(Sender<String>);

impl log::Log for LogTo {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let _ = self.0.send(format!("{} {}", record.level(), record.args()));
    }

    fn flush(&self) {}
}

#[test]
fn the_log_reports_when_refusals_begin_and_end() {
    let (lines, logged) = unbounded();
    log::set_boxed_logger(Box::new(LogTo(lines))).unwrap();
    log::set_max_level(log::LevelFilter::Info);
    let fixture = Fixture::start();
    let full = || Err(StoreError::new(StoreErrorKind::NoSpace, "full"));
    let busy = || Err(StoreError::new(StoreErrorKind::Busy, "busy"));
    let outcomes = [Ok(()), full(), full(), full(), busy(), busy(), Ok(()), Ok(()), busy(), Ok(())];
    let answers = outcomes.map(|outcome| {
        let added = fixture.add("milk", "");
        fixture.proposal();
        fixture.outcomes.send(outcome).unwrap();
        answer(&added)
    });
    let (full, busy) = (Err(StateError::NoSpace), Err(StateError::StoreBusy));
    let (one, two, three, four) = (Ok((1, 1)), Ok((2, 2)), Ok((3, 3)), Ok((4, 4)));
    let [f1, f2, f3] = [full.clone(), full.clone(), full];
    let [b1, b2, b3] = [busy.clone(), busy.clone(), busy];
    assert_eq!(answers, [one, f1, f2, f3, b1, b2, two, three, b3, four]);
    // Other tests of this process log, too.
    let about_refusals = |line: &String| line.contains("reject") || line.contains("again");
    assert_eq!(
        logged.try_iter().filter(about_refusals).collect::<Vec<_>>(),
        [
            "ERROR changes are rejected until further notice: full",
            "ERROR changes are rejected until further notice: busy",
            "INFO the store accepts changes again",
            "ERROR changes are rejected until further notice: busy",
            "INFO the store accepts changes again",
        ]
    );
    fixture.thread.stop().unwrap();
}
