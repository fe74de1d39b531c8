//! A list that several write to at once, and its change log.

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

/// A list that several write to while others watch it.
pub struct World {
    pub address: String,
    /// The servers that watchers call, one or another: several, if they share a log.
    pub servers: Vec<String>,
    /// The poll thread of the watchers.
    pub env: Arc<Environment>,
    /// The newest revision that somebody was told of.
    newest: AtomicI64,
    newest_task: AtomicI32,
    /// Up to here a [`LogKeeper`] has the log; writers wait for it when it is this far
    /// behind, so that compaction does not overtake it.
    logged: AtomicI64,
    log_lag_max: i64,
    /// The list that it begins with, and its tasks at most but for [`World::finish`].
    base: GetTasksResponse,
    tasks_max: i32,
    /// How many times a watcher was told of progress.
    progress: AtomicI64,
    /// How many times the server was started again.
    pub restarts: AtomicI64,
    /// Whether the writers rest until then: nobody who stalls waits for them.
    rests: AtomicBool,
    /// Watchers read up to here; `i64::MAX` until the writers are done.
    goal: AtomicI64,
    /// Whether tasks are purged, too. Only with a [`LogKeeper`]: what it has not read yet
    /// would lose its content.
    purges: bool,
}

/// A small generator of numbers that are the same in each run: xorshift.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn below(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

impl World {
    pub fn new(address: &str) -> World {
        World {
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
    pub fn with_purges(self) -> World {
        World { purges: true, ..self }
    }

    /// A list whose older changes are forgotten while it is written to.
    pub fn with_log_keeper(address: &str, log_lag_max: i64) -> World {
        World { log_lag_max, ..World::new(address) }
    }

    /// A list that others have left, which hardly grows any more.
    pub fn going_on(address: &str, log_lag_max: i64, tasks_max: i32) -> World {
        let base = harness::client(address).page(Filter::ANY, 0, "").unwrap();
        World {
            newest: AtomicI64::new(base.revision),
            newest_task: AtomicI32::new(base.tasks.len() as i32),
            logged: AtomicI64::new(base.revision),
            base,
            tasks_max,
            ..World::with_log_keeper(address, log_lag_max)
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

    /// Waits until watchers have been told of progress this many times more.
    pub fn wait_for_progress(&self, times: i64) {
        let enough = self.progress.load(Ordering::SeqCst) + times;
        self.rests.store(true, Ordering::SeqCst);
        until("progress is told", || self.progress.load(Ordering::SeqCst) >= enough);
        self.rests.store(false, Ordering::SeqCst);
    }

    /// Makes changes of every kind. Returns the answers.
    pub fn write(&self, changes: usize, seed: u64) -> Vec<Task> {
        let _release = Release(self);
        let mut dice = Dice::new(seed);
        let mut client = harness::client(&self.address);
        let mut answers = Vec::new();
        while answers.len() < changes {
            until("the log is kept", || {
                let lag = self.newest() - self.logged.load(Ordering::SeqCst);
                lag <= self.log_lag_max || !self.is_written()
            });
            match self.change(&client, &mut dice) {
                Ok(task) => {
                    self.newest_is(task.revision);
                    self.newest_task.fetch_max(task.id, Ordering::SeqCst);
                    answers.push(task);
                }
                Err(Code::FailedPrecondition) => {}
                // Another writer has changed or purged the task.
                Err(Code::NotFound | Code::Aborted) if self.purges => {}
                // Its outcome is not known.
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

    fn change(&self, client: &Client, dice: &mut Dice) -> Result<Task, Code> {
        let tasks = self.newest_task.load(Ordering::SeqCst);
        let what = dice.below(10);
        if tasks == 0 || (what == 0 && tasks < self.tasks_max) {
            return client.add(&long_title(dice)).map_err(|e| e.code);
        }
        let id = 1 + dice.below(tasks as u64) as i32;
        if self.purges && dice.below(10) == 0 {
            return self.purge(client, id);
        }
        let edit = match what {
            0..=2 => Edit::Complete,
            3..=4 => Edit::Reopen,
            5..=6 => Edit::Delete,
            7..=8 => Edit::Restore,
            _ => Edit::Retitle(long_title(dice)),
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

    /// Tells the watchers how far to read.
    pub fn finish(&self) -> i64 {
        let client = harness::client(&self.address);
        // Each filter's watchers are told of one of these.
        let last_changes = || {
            let id = client.add("the last one").unwrap().id;
            let completed = client.edit(id, Edit::Complete).unwrap();
            client.edit(id, Edit::Delete).unwrap();
            completed.revision
        };
        let goal = last_changes();
        self.goal.store(goal, Ordering::SeqCst);
        // Wakes those who have read them before there was a goal.
        last_changes();
        goal
    }

    /// Whether there is more to come.
    pub fn is_written(&self) -> bool {
        self.goal() == i64::MAX
    }

    pub fn rests(&self) -> bool {
        self.rests.load(Ordering::SeqCst)
    }

    /// `i64::MAX` until there is one.
    pub fn goal(&self) -> i64 {
        self.goal.load(Ordering::SeqCst)
    }
}

/// A few hundred of these are more than the transport takes for who does not read.
fn long_title(dice: &mut Dice) -> String {
    format!("{:0>500}", dice.below(1_000_000))
}

/// When one fails, the others do not wait for it.
pub struct Release<'a>(pub &'a World);

impl Drop for Release<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.goal.store(0, Ordering::SeqCst);
        }
    }
}

/// Reads the log while it is there to be read.
pub struct LogKeeper<'a> {
    world: &'a World,
    list_id: String,
    changes: Vec<TaskUpdate>,
}

impl<'a> LogKeeper<'a> {
    pub fn new(world: &'a World) -> LogKeeper<'a> {
        LogKeeper { world, list_id: String::new(), changes: Vec::new() }
    }

    /// Reads until there is a goal.
    pub fn keep(mut self) -> LogKeeper<'a> {
        let _release = Release(self.world);
        let mut client = harness::client(&self.world.address);
        while self.world.is_written() {
            match self.read_on(&client) {
                Ok(_) => std::thread::park_timeout(Duration::from_millis(1)),
                Err(Code::Unavailable) => client = harness::client(&self.world.address),
                Err(code) => panic!("the log cannot be kept: {code:?}"),
            }
        }
        self
    }

    /// Everything. Call it when nobody writes any more.
    pub fn log(mut self) -> Log {
        let client = harness::client(&self.world.address);
        let compacted = self.read_on(&client).unwrap();
        let GetTasksResponse { revision, tasks, .. } = self.world.base.clone();
        let mut log = Log::after(&self.list_id, revision, tasks, self.changes);
        log.compacted = compacted;
        log
    }

    /// Returns the compacted revision.
    fn read_on(&mut self, client: &Client) -> Result<i64, Code> {
        let kept = self.world.base.revision + self.changes.len() as i64;
        let after_revision = Some(kept);
        let query = ListChangesRequest { after_revision, ..Default::default() };
        let (mut changes, last) = list_changes(client, &query).map_err(|e| e.code)?;
        self.changes.append(&mut changes);
        self.list_id = last.list_id;
        let kept = self.world.base.revision + self.changes.len() as i64;
        self.world.logged.store(kept, Ordering::SeqCst);
        Ok(last.compacted_revision)
    }
}

/// Every answer shows a task as a change left it.
pub fn check_answers(log: &Log, answers: &[Task]) {
    for answer in answers {
        assert!(log.had(answer), "what was answered is not in the log: {answer}");
    }
}
