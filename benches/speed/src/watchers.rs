//! Watchers on separate connections, which examine every update, and the changes that they
//! receive.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow, ensure};
use bytes::Bytes;
use prost::Message as _;
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{interval, sleep};

use crate::wire::{self, Answer, Connection, TaskUpdate};

/// Connections that are opened concurrently: fewer than the backlog of a listening socket.
const OPENING_MAX: usize = 200;
/// The window of a watcher that does not read.
const STALLED_WINDOW_BYTES: u32 = 1 << 10;
/// If no update arrives for this time, the rest is missing.
const MISSING: Duration = Duration::from_secs(30);

/// How a contestant's watch behaves.
#[derive(Clone, Copy)]
pub struct Kind {
    pub max_updates_per_message: i32,
    /// Whether the server sends SYNCED when the watch is registered, as todod does. tonic
    /// starts its answer then.
    pub says_synced: bool,
    /// Whether the watcher reads nothing until [`Watchers::read_on`].
    pub stalls: bool,
}

/// Watchers of a list that was empty when they registered.
pub struct Watchers {
    board: Arc<Board>,
    count: usize,
    /// The number of first changes that are not measured.
    warm_up: usize,
    may_read: watch::Sender<bool>,
    _following: JoinSet<()>,
}

/// What the watchers have received.
struct Board {
    /// By revision, starting with 1.
    updates: Vec<Seen>,
    deliveries: AtomicUsize,
    messages: AtomicUsize,
    failure: Mutex<Option<anyhow::Error>>,
}

/// The times of one update, in microseconds since the epoch.
#[derive(Default)]
struct Seen {
    made_us: AtomicU64,
    /// When the last watcher received it, so far.
    last_us: AtomicU64,
}

impl Watchers {
    /// Opens `count` watchers, and returns when all are registered. `changes` is the number of
    /// changes to come.
    pub async fn open(port: u16, count: usize, changes: usize, kind: Kind) -> Result<Watchers> {
        let board = Arc::new(Board {
            updates: (0..changes).map(|_| Seen::default()).collect(),
            deliveries: AtomicUsize::new(0),
            messages: AtomicUsize::new(0),
            failure: Mutex::new(None),
        });
        let (may_read, reads) = watch::channel(!kind.stalls);
        let mut opening = JoinSet::new();
        let mut following = JoinSet::new();
        for opened in 0..count + OPENING_MAX {
            if opened < count {
                opening.spawn(open(port, kind, reads.clone()));
            }
            if opened >= OPENING_MAX
                && let Some(watch) = opening.join_next().await
            {
                following.spawn(follow(board.clone(), watch??, reads.clone()));
            }
        }
        Ok(Watchers { board, count, warm_up: 0, may_read, _following: following })
    }

    /// Makes stalled watchers read from now on.
    pub fn read_on(&self) {
        self.may_read.send_replace(true);
    }

    /// Waits until every change has reached every watcher.
    pub async fn all_delivered(&self) -> Result<()> {
        self.delivered(self.board.updates.len()).await
    }

    /// Waits until the first `changes` have reached every watcher. They are not measured.
    pub async fn warmed_up(&mut self, changes: usize) -> Result<()> {
        self.delivered(changes).await?;
        self.warm_up = changes;
        Ok(())
    }

    async fn delivered(&self, changes: usize) -> Result<()> {
        let expected = self.count * changes;
        let mut before = 0;
        let mut moved = Instant::now();
        loop {
            let failure = self.board.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(failure) = failure {
                return Err(failure);
            }
            let delivered = self.board.deliveries.load(Ordering::Relaxed);
            if delivered == expected {
                return Ok(());
            }
            if delivered > before {
                (before, moved) = (delivered, Instant::now());
            }
            ensure!(
                moved.elapsed() < MISSING,
                "{} of {expected} updates did not arrive",
                expected - delivered
            );
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// The number of updates that all watchers together received.
    pub fn deliveries(&self) -> usize {
        self.board.deliveries.load(Ordering::Relaxed) - self.count * self.warm_up
    }

    /// The average number of updates in a message, including those that are not measured.
    pub fn updates_per_message(&self) -> f64 {
        let updates = self.board.deliveries.load(Ordering::Relaxed);
        updates as f64 / self.board.messages.load(Ordering::Relaxed) as f64
    }

    fn measured(&self) -> &[Seen] {
        &self.board.updates[self.warm_up..]
    }

    /// The time from the first change to the last delivery, in seconds.
    pub fn delivering_s(&self) -> f64 {
        let first = self.measured().iter().map(Seen::made).min().unwrap_or_default();
        let last = self.measured().iter().map(Seen::last).max().unwrap_or_default();
        last.saturating_sub(first) as f64 / 1e6
    }

    /// The delay of each update at its last watcher after the given moment, sorted, in ms.
    /// `None`: after the server made the change, by the server's clock.
    pub fn lags_ms(&self, since_us: Option<&[u64]>) -> Vec<f64> {
        let lag = |(at, seen): (usize, &Seen)| {
            let since = since_us.map_or_else(|| seen.made(), |since| since[at]);
            seen.last().saturating_sub(since) as f64 / 1e3
        };
        let mut lags: Vec<f64> = self.measured().iter().enumerate().map(lag).collect();
        lags.sort_unstable_by(f64::total_cmp);
        lags
    }
}

impl Seen {
    fn made(&self) -> u64 {
        self.made_us.load(Ordering::Relaxed)
    }

    fn last(&self) -> u64 {
        self.last_us.load(Ordering::Relaxed)
    }
}

impl Board {
    fn note(&self, update: &TaskUpdate, now_us: u64) -> Result<()> {
        let seen = usize::try_from(update.revision - 1).ok().and_then(|at| self.updates.get(at));
        let seen = seen.with_context(|| format!("no change has revision {}", update.revision))?;
        let made =
            update.task.as_ref().and_then(|task| task.updated_at.clone()).unwrap_or_default();
        seen.made_us
            .store(made.seconds as u64 * 1_000_000 + made.nanos as u64 / 1_000, Ordering::Relaxed);
        seen.last_us.store(now_us, Ordering::Relaxed);
        self.deliveries.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Opens one watch, and returns when it is registered.
async fn open(port: u16, kind: Kind, mut reads: watch::Receiver<bool>) -> Result<Answer> {
    let request = wire::WatchTasksRequest {
        snapshot: kind.says_synced,
        max_updates_per_message: kind.max_updates_per_message,
    };
    let mut connection = if kind.stalls {
        // Also ends when the watchers are dropped.
        let widen = async move { drop(reads.wait_for(|reads| *reads).await) };
        Connection::open_narrow(port, STALLED_WINDOW_BYTES, widen).await?
    } else {
        Connection::open(port).await?
    };
    let mut watch = connection.start(wire::WATCH_TASKS, &request).await?;
    if kind.says_synced {
        let mut action = String::new();
        while action != "SYNCED" {
            let message = watch.next().await?.context("the watch ended before SYNCED")?;
            action = TaskUpdate::decode(message)?.action;
        }
    }
    Ok(watch)
}

async fn follow(board: Arc<Board>, mut watch: Answer, mut reads: watch::Receiver<bool>) {
    let _ = reads.wait_for(|reads| *reads).await;
    let mut last = 0;
    let failure = loop {
        match watch.next().await {
            Ok(Some(message)) => {
                if let Err(e) = take(&board, message, &mut last) {
                    break e;
                }
            }
            Ok(None) => break anyhow!("a watch ended"),
            Err(e) => break e,
        }
    };
    *board.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
}

/// Takes one message. Its updates must follow the last one, and each other, without a gap.
fn take(board: &Board, message: Bytes, last: &mut i64) -> Result<()> {
    let now_us = now_us();
    let update = TaskUpdate::decode(message)?;
    board.messages.fetch_add(1, Ordering::Relaxed);
    for update in std::iter::once(&update).chain(&update.more) {
        let revision = update.revision;
        ensure!(revision == *last + 1, "a watcher got revision {revision} after {last}");
        *last = revision;
        board.note(update, now_us)?;
    }
    Ok(())
}

/// The kind of change.
#[derive(Clone, Copy)]
pub enum Change {
    Add,
    /// Completes the tasks 1, 2, 3 and so on.
    Complete,
}

/// Makes `count` changes one after the other, `per_second` of them per second, on another
/// thread. Returns when each was acknowledged, in microseconds since the epoch.
pub fn change(
    port: u16,
    what: Change,
    count: usize,
    per_second: u32,
) -> JoinHandle<Result<Vec<u64>>> {
    tokio::task::spawn_blocking(move || {
        Builder::new_current_thread().enable_all().build()?.block_on(async {
            let mut connection = Connection::open(port).await?;
            let mut ticks = interval(Duration::from_secs(1) / per_second);
            let mut acknowledged_us = Vec::with_capacity(count);
            for n in 1..=count {
                ticks.tick().await;
                let wire::ChangeResponse {} = match what {
                    Change::Add => connection.call(wire::ADD_TASK, &add_request()).await?,
                    Change::Complete => {
                        let request = wire::CompleteTaskRequest { task_id: n as i32 };
                        connection.call(wire::COMPLETE_TASK, &request).await?
                    }
                };
                acknowledged_us.push(now_us());
            }
            Ok(acknowledged_us)
        })
    })
}

/// The request for every added task.
pub fn add_request() -> wire::AddTaskRequest {
    wire::AddTaskRequest { title: "Buy oat milk and bread".to_owned() }
}

fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64
}
