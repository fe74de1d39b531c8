//! The actor alone: what needs commands to meet in one turn.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::{Answer, Command, Hooks, Limits, Reply, StateHandle, StateThread, spawn};
use crate::model::{
    Action, Change, Guard, Mutation, Rejection, Remembered, RequestId, Revision, Task, Timestamp,
    Title,
};
use crate::store::{
    Batch, CommitError, CompactionDue, History, Loaded, MemoryStore, Store, StoreError,
};

pub(super) const DEADLINE: Duration = Duration::from_secs(60);

/// One of many changes of the same task.
pub(super) fn change(revision: Revision) -> Change {
    let task = Task {
        id: 1,
        title: Title::new("t").unwrap(),
        deleted: false,
        revision,
        created_at: Timestamp(0),
        updated_at: Timestamp(0),
        completed_at: None,
    };
    Change { action: Action::Updated, task: Arc::new(task), before: None, request_id: None }
}

impl<T: Send> Answer<T> for Sender<Result<T, Rejection>> {
    fn give(self: Box<Self>, answer: Result<T, Rejection>) {
        let _ = self.send(answer);
    }
}

/// Tells of each commit, and waits to be told what is to become of it.
struct Gated {
    inner: MemoryStore,
    commits: Sender<Batch>,
    go: Receiver<Result<(), CommitError>>,
}

impl Store for Gated {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        self.inner.load()
    }

    fn find_request(&mut self, id: &RequestId) -> Result<Option<Remembered>, StoreError> {
        self.inner.find_request(id)
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        let gone = |_| CommitError::Unknown("the test is over".to_owned());
        self.commits.send(batch.clone()).map_err(|e| gone(e.to_string()))?;
        self.go.recv_timeout(DEADLINE).map_err(|e| gone(e.to_string()))??;
        self.inner.commit(batch)
    }

    fn history(&mut self) -> Result<Box<dyn History>, StoreError> {
        self.inner.history()
    }

    fn compact(&mut self, due: &CompactionDue) -> Result<Revision, CommitError> {
        self.inner.compact(due)
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

struct Scene {
    state: StateHandle<()>,
    thread: StateThread,
    commits: Receiver<Batch>,
    go: Sender<Result<(), CommitError>>,
}

type Answers = Receiver<Result<Arc<Task>, Rejection>>;

impl Scene {
    fn start() -> Scene {
        let (commits, committing) = bounded(16);
        let (go, let_go) = bounded(16);
        let store = Gated { inner: MemoryStore::new("l"), commits, go: let_go };
        let hooks = Hooks {
            encode: |_| (),
            delivering: Box::new(|| false),
            turn_done: Box::new(|| {}),
            clock: || Timestamp(0),
        };
        let (state, thread, _) = spawn(Box::new(store), Limits::default(), hooks).unwrap();
        Scene { state, thread, commits: committing, go }
    }

    fn add(&self, title: &str, request_id: &str) -> Answers {
        let (reply, answer) = bounded(1);
        let mutation = Mutation::Add { title: Title::new(title).unwrap() };
        let request_id = RequestId::new(request_id).unwrap();
        let guard = Guard { request_id, expected_revision: None };
        let reply = Reply::new(reply);
        assert!(self.state.submit(Command::Mutate { mutation, guard, reply }));
        answer
    }

    fn commit(&self) -> Batch {
        self.commits.recv_timeout(DEADLINE).expect("a commit")
    }
}

fn answer(from: &Answers) -> Result<(i32, i64), Rejection> {
    let answer = from.recv_timeout(DEADLINE).expect("an answer");
    answer.map(|task| (task.id, task.revision))
}

#[test]
fn what_waits_is_one_turn_with_one_commit_and_repeats_in_it_happen_once() {
    let scene = Scene::start();
    let first = scene.add("first", "");
    assert_eq!(scene.commit().changes.len(), 1);
    let waiting = [
        scene.add("milk", "r"),
        scene.add("milk", "r"),
        scene.add("bread", "r"),
        scene.add("bread", "s"),
    ];
    scene.go.send(Ok(())).unwrap();
    assert_eq!(answer(&first), Ok((1, 1)));
    let batch = scene.commit();
    assert_eq!((batch.changes.len(), batch.remembered.len()), (2, 2));
    scene.go.send(Ok(())).unwrap();
    let reused = Err(Rejection::RequestIdReused("r".to_owned()));
    let answers = waiting.map(|waiting| answer(&waiting));
    assert_eq!(answers, [Ok((2, 2)), Ok((2, 2)), reused, Ok((3, 3))]);
    assert!(scene.commits.is_empty());
    scene.thread.stop().unwrap();
}

#[test]
fn what_is_queued_at_the_stop_is_still_done_and_what_comes_later_is_refused() {
    let scene = Scene::start();
    let state = scene.state.clone();
    let held = scene.add("held", "");
    scene.commit();
    let queued = scene.add("queued", "");
    let Scene { thread, commits, go, .. } = scene;
    let stopping = std::thread::spawn(move || thread.stop());
    go.send(Ok(())).unwrap();
    commits.recv_timeout(DEADLINE).expect("the queued one's commit");
    go.send(Ok(())).unwrap();
    stopping.join().unwrap().unwrap();
    assert_eq!((answer(&held), answer(&queued)), (Ok((1, 1)), Ok((2, 2))));
    let (reply, late) = bounded(1);
    let reply = Reply::new(reply);
    let mutation = Mutation::Add { title: Title::new("late").unwrap() };
    assert!(!state.submit(Command::Mutate { mutation, guard: Guard::default(), reply }));
    assert_eq!(answer(&late), Err(Rejection::ShuttingDown));
}

#[test]
fn a_thread_that_cannot_go_on_answers_everybody_that_the_outcome_is_unknown() {
    let scene = Scene::start();
    let held = scene.add("held", "");
    scene.commit();
    let queued = scene.add("queued", "");
    let Scene { thread, go, .. } = scene;
    drop(go);
    assert_eq!(answer(&held), Err(Rejection::OutcomeUnknown));
    assert_eq!(answer(&queued), Err(Rejection::OutcomeUnknown));
    assert!(thread.ended().recv().is_err());
    assert!(thread.stop().is_err());
}

/// Passes on what is logged. One for the process: only one test may install it.
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
fn the_log_says_when_refusals_begin_and_end_and_not_once_a_turn() {
    let (lines, logged) = unbounded();
    log::set_boxed_logger(Box::new(LogTo(lines))).unwrap();
    log::set_max_level(log::LevelFilter::Info);
    let scene = Scene::start();
    let full = || Err(CommitError::NoSpace("full".to_owned()));
    let busy = || Err(CommitError::Busy("busy".to_owned()));
    let outcomes = [Ok(()), full(), full(), full(), busy(), busy(), Ok(()), Ok(()), busy(), Ok(())];
    let answers = outcomes.map(|outcome| {
        let added = scene.add("milk", "");
        scene.commit();
        scene.go.send(outcome).unwrap();
        // A turn that writes nothing says nothing of the store.
        let (reply, snapshot) = bounded(1);
        assert!(scene.state.submit(Command::Snapshot { reply: Reply::new(reply) }));
        snapshot.recv_timeout(DEADLINE).unwrap().unwrap();
        answer(&added).map_err(|why| why.to_string().contains("disk is full"))
    });
    let (disk_full, locked) = (Err(true), Err(false));
    let (one, two) = (Ok((1, 1)), Ok((2, 2)));
    let (three, four) = (Ok((3, 3)), Ok((4, 4)));
    assert_eq!(
        answers,
        [one, disk_full, disk_full, disk_full, locked, locked, two, three, locked, four]
    );
    // Other tests of this process log, too.
    let about_refusals = |line: &String| line.contains("reject") || line.contains("again");
    assert_eq!(
        logged.try_iter().filter(about_refusals).collect::<Vec<_>>(),
        [
            "ERROR changes are rejected until further notice: full",
            "ERROR changes are rejected until further notice: busy",
            "INFO the store takes changes again",
            "ERROR changes are rejected until further notice: busy",
            "INFO the store takes changes again",
        ]
    );
}
