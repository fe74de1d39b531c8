//! Concurrent writers of one list, and its change log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, Ordering};
use std::time::Duration;

use grpcio::Environment;
use todo::client::{Client, Code, Edit};
use todo::wire::methods;
use todo::wire::proto::*;

use crate::change_log::{Log, list_changes};
use crate::harness::{self, Calls, until};
use crate::stream::environment;

pub const FILTERS: [Filter; 5] =
    [Filter::LIVE, Filter::OPEN, Filter::COMPLETED, Filter::DELETED, Filter::ANY];

/// A list that several clients write to while others watch it.
pub struct Workload {
    pub address: String,
    /// The servers that watchers call: several, if they share a log.
    pub servers: Vec<String>,
    /// The poll thread of the watchers.
    pub env: Arc<Environment>,
    /// The newest revision that was acknowledged.
    newest: AtomicI64,
    newest_task: AtomicI32,
    /// The revision up to which a [`LogKeeper`] has the log. Writers wait when it lags by more
    /// than `log_lag_max`, so that compaction does not overtake it.
    logged: AtomicI64,
    log_lag_max: i64,
    /// The list at the start, and the limit of tasks, which [`Workload::finish`] exceeds.
    base: GetTasksResponse,
    tasks_max: i32,
    /// How many PROGRESS messages watchers have received.
    progress: AtomicI64,
    /// How many times the server was restarted.
    pub restarts: AtomicI64,
    /// Whether the writers pause: watchers that stall do not wait for them then.
    rests: AtomicBool,
    /// The revision up to which watchers read; `i64::MAX` until the writers are done.
    goal: AtomicI64,
    /// Whether tasks are purged, too. Only with a [`LogKeeper`]: what it has not read yet
    /// would lose its content.
    purges: bool,
}

/// A seeded random number generator: xorshift.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn below(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

impl Workload {
    pub fn new(address: &str) -> Workload {
        Workload {
            address: address.to_owned(),
            servers: vec![address.to_owned()],
            env: environment(),
            newest: AtomicI64::new(0),
            newest_task: AtomicI32::new(0),
            logged: AtomicI64::new(0),
            log_lag_max: i64::MAX,
            base: GetTasksResponse::new(),
            tasks_max: i32::MAX,
            progress: AtomicI64::new(0),
            restarts: AtomicI64::new(0),
            rests: AtomicBool::new(false),
            goal: AtomicI64::new(i64::MAX),
            purges: false,
        }
    }

    /// Some of its deleted tasks are purged.
    pub fn with_purges(self) -> Workload {
        Workload { purges: true, ..self }
    }

    /// A list that is compacted while it is written to.
    pub fn with_log_keeper(address: &str, log_lag_max: i64) -> Workload {
        Workload { log_lag_max, ..Workload::new(address) }
    }

    /// A list with earlier changes, whose tasks hardly become more.
    pub fn going_on(address: &str, log_lag_max: i64, tasks_max: i32) -> Workload {
        let base = harness::client(address).page(Filter::ANY, 0, "").unwrap();
        Workload {
            newest: AtomicI64::new(base.revision),
            newest_task: AtomicI32::new(base.tasks.len() as i32),
            logged: AtomicI64::new(base.revision),
            base,
            tasks_max,
            ..Workload::with_log_keeper(address, log_lag_max)
        }
    }

    pub fn newest(&self) -> i64 {
        self.newest.load(Ordering::SeqCst)
    }

    /// A change with this revision was acknowledged.
    pub fn newest_is(&self, revision: i64) {
        self.newest.fetch_max(revision, Ordering::SeqCst);
    }

    pub fn tell_progress(&self) {
        self.progress.fetch_add(1, Ordering::SeqCst);
    }

    /// Waits until watchers have received this many more PROGRESS messages.
    pub fn wait_for_progress(&self, times: i64) {
        let enough = self.progress.load(Ordering::SeqCst) + times;
        self.rests.store(true, Ordering::SeqCst);
        until("progress is told", || self.progress.load(Ordering::SeqCst) >= enough);
        self.rests.store(false, Ordering::SeqCst);
    }

    /// Makes changes of every kind except purges, and those if requested. Returns the answers.
    pub fn write(&self, changes: usize, seed: u64) -> Vec<Task> {
        let _release = Release(self);
        let mut rng = Rng::new(seed);
        let mut client = harness::client(&self.address);
        let mut answers = Vec::new();
        while answers.len() < changes {
            until("the log is kept", || {
                let lag = self.newest() - self.logged.load(Ordering::SeqCst);
                lag <= self.log_lag_max || !self.is_written()
            });
            match self.change(&client, &mut rng) {
                Ok(task) => {
                    self.newest_is(task.revision);
                    self.newest_task.fetch_max(task.id, Ordering::SeqCst);
                    answers.push(task);
                }
                Err(Code::FailedPrecondition) => {}
                // Another writer has changed or purged the task.
                Err(Code::NotFound | Code::Aborted) if self.purges => {}
                // The outcome is unknown.
                Err(Code::Unavailable) => {
                    until("the server is back", || {
                        client = harness::client(&self.address);
                        client.page(Filter::ANY, 1, "").is_ok()
                    });
                }
                Err(code) => panic!("{code:?}"),
            }
        }
        answers
    }

    fn change(&self, client: &Client, rng: &mut Rng) -> Result<Task, Code> {
        let tasks = self.newest_task.load(Ordering::SeqCst);
        let what = rng.below(10);
        if tasks == 0 || (what == 0 && tasks < self.tasks_max) {
            return client.add(&long_title(rng)).map_err(|e| e.code);
        }
        let id = 1 + rng.below(tasks as u64) as i32;
        if self.purges && rng.below(10) == 0 {
            return self.purge(client, id);
        }
        let edit = match what {
            0..=2 => Edit::Complete,
            3..=4 => Edit::Reopen,
            5..=6 => Edit::Delete,
            7..=8 => Edit::Restore,
            _ => Edit::Retitle(long_title(rng)),
        };
        client.edit(id, edit).map_err(|e| e.code)
    }

    /// Purges the task if it is deleted, and if every change of it is in the log.
    fn purge(&self, client: &Client, task_id: i32) -> Result<Task, Code> {
        let task = client.get(task_id).map_err(|e| e.code)?;
        if !task.deleted || task.revision > self.logged.load(Ordering::SeqCst) {
            return Err(Code::FailedPrecondition);
        }
        let expected_revision = Some(task.revision);
        let request = PurgeTaskRequest { task_id, expected_revision, ..Default::default() };
        Ok(client.make(&methods::PURGE_TASK, &request).map_err(|e| e.code)?.task.unwrap())
    }

    /// Makes the last changes, and tells the watchers how far to read.
    pub fn finish(&self) -> i64 {
        let client = harness::client(&self.address);
        // One of them concerns each filter.
        let last_changes = || {
            let id = client.add("the last one").unwrap().id;
            let completed = client.edit(id, Edit::Complete).unwrap();
            client.edit(id, Edit::Delete).unwrap();
            completed.revision
        };
        let goal = last_changes();
        self.goal.store(goal, Ordering::SeqCst);
        // For watchers that read the others before there was a goal.
        last_changes();
        goal
    }

    /// Whether the writers are not done.
    pub fn is_written(&self) -> bool {
        self.goal() == i64::MAX
    }

    pub fn rests(&self) -> bool {
        self.rests.load(Ordering::SeqCst)
    }

    /// The revision up to which watchers read; `i64::MAX` until the writers are done.
    pub fn goal(&self) -> i64 {
        self.goal.load(Ordering::SeqCst)
    }
}

/// A few hundred of these exceed what the transport buffers for a client that does not read.
fn long_title(rng: &mut Rng) -> String {
    format!("{:0>500}", rng.below(1_000_000))
}

/// Releases the other threads when one of them fails.
pub struct Release<'a>(pub &'a Workload);

impl Drop for Release<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.goal.store(0, Ordering::SeqCst);
        }
    }
}

/// Reads the change log before it is compacted.
pub struct LogKeeper<'a> {
    workload: &'a Workload,
    list_id: String,
    changes: Vec<TaskUpdate>,
}

impl<'a> LogKeeper<'a> {
    pub fn new(workload: &'a Workload) -> LogKeeper<'a> {
        LogKeeper { workload, list_id: String::new(), changes: Vec::new() }
    }

    /// Reads until the writers are done.
    pub fn keep(mut self) -> LogKeeper<'a> {
        let _release = Release(self.workload);
        let mut client = harness::client(&self.workload.address);
        while self.workload.is_written() {
            match self.read_on(&client) {
                Ok(_) => std::thread::park_timeout(Duration::from_millis(1)),
                Err(Code::Unavailable) => client = harness::client(&self.workload.address),
                Err(code) => panic!("the log cannot be kept: {code:?}"),
            }
        }
        self
    }

    /// The whole log. Call it after the last write.
    pub fn log(mut self) -> Log {
        let client = harness::client(&self.workload.address);
        let compacted = self.read_on(&client).unwrap();
        let GetTasksResponse { revision, tasks, .. } = self.workload.base.clone();
        let mut log = Log::after(&self.list_id, revision, tasks, self.changes);
        log.compacted = compacted;
        log
    }

    /// Returns the compacted revision.
    fn read_on(&mut self, client: &Client) -> Result<i64, Code> {
        let kept = self.workload.base.revision + self.changes.len() as i64;
        let after_revision = Some(kept);
        let query = ListChangesRequest { after_revision, ..Default::default() };
        let (mut changes, last) = list_changes(client, &query).map_err(|e| e.code)?;
        self.changes.append(&mut changes);
        self.list_id = last.list_id;
        let kept = self.workload.base.revision + self.changes.len() as i64;
        self.workload.logged.store(kept, Ordering::SeqCst);
        Ok(last.compacted_revision)
    }
}

/// Checks that every answer is a task as a change left it.
pub fn check_answers(log: &Log, answers: &[Task]) {
    for answer in answers {
        assert!(log.had(answer), "what was answered is not in the log: {answer}");
    }
}
