use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread::{self, Builder, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, never, select, unbounded};

use super::actor::{Event, State};
use super::log::LogPublisher;
use super::request_index::RequestIndex;
use super::retention::{Compaction, Trash, future_from};
use super::subscription::WatcherId;
use super::watchers::Watchers;
use super::{ChangeLog, Command, EncodedUpdates, Published, PublishedList, Retention, StateError};
use crate::limits::{self, FINISH_WITHIN, GATHER_COMMANDS, IDLE_TICK};
use crate::model::{Filter, Timestamp};
use crate::plural::counted;
use crate::store::{History, Store, StoreError};

/// What the state thread needs from outside.
pub struct Hooks {
    /// Called after each step, once its replies and notifications are given: the one wake
    /// of the thread that delivers them.
    pub flush: Box<dyn Fn() + Send>,
    pub clock: fn() -> Timestamp,
}

/// Bounds of the state thread's queues and list.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Tasks, deleted ones included.
    pub tasks_max: u32,
    /// Commands that wait.
    pub queue_max: usize,
    /// Watches at a time.
    pub watchers_max: usize,
    /// Changes in the change log; streams whose position is older read the store.
    pub change_log_changes: usize,
    /// A watch whose client does not read ends after this long.
    pub watch_stall_timeout: Duration,
    pub retention: Retention,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            tasks_max: limits::TASKS_MAX_DEFAULT,
            queue_max: limits::QUEUE_MAX_DEFAULT,
            watchers_max: limits::WATCHERS_MAX_DEFAULT,
            change_log_changes: limits::CHANGE_LOG_CHANGES_MAX,
            watch_stall_timeout: limits::WATCH_STALL_TIMEOUT_DEFAULT,
            retention: Retention::default(),
        }
    }
}

/// Sends commands to the state thread, and reads what it published.
#[derive(Clone)]
pub struct StateHandle {
    commands: Sender<Command>,
    queue_max: usize,
    published: PublishedList,
    is_sole_writer: bool,
}

/// The running state thread.
pub struct StateThread {
    stop: Sender<()>,
    ended: Receiver<()>,
    thread: JoinHandle<Result<Box<dyn Store>, Fatal>>,
}

/// Why the state thread stopped. What it had acknowledged is safe.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

/// A state thread with what others need of it.
pub struct Running<E> {
    pub handle: StateHandle,
    pub thread: StateThread,
    pub log: Arc<ChangeLog<E>>,
    /// Readers of history, each for a thread of its own.
    pub histories: Vec<Box<dyn History>>,
}

/// Loads the list and starts the thread that owns it.
pub fn spawn<E: EncodedUpdates + 'static>(
    mut store: Box<dyn Store>,
    limits: Limits,
    hooks: Hooks,
    readers: usize,
) -> Result<Running<E>, Fatal> {
    let loaded = store.load()?;
    let clock = (hooks.clock)();
    let list = loaded.list(limits.tasks_max);
    let tasks = counted(list.len(), "task", "tasks");
    log::info!("list {} at revision {}: {tasks}", list.list_id(), list.revision());
    warn_if_clock_was_ahead(list.head().changed_at, clock);
    let histories = (0..readers).map(|_| store.history()).collect::<Result<_, _>>()?;
    let (publisher, log) = LogPublisher::new(list.revision(), limits.change_log_changes);
    let published =
        PublishedList::new(Published { list: list.clone(), compacted: loaded.compacted });
    let (commands, command_queue) = bounded(limits.queue_max);
    // Unbounded, but there is at most one entry a watch.
    let (closed, closed_queue) = unbounded();
    // Nothing is ever sent: they disconnect to stop the thread, and when it has ended.
    let (stop, stopped) = bounded(0);
    let (alive, ended) = bounded(0);
    let now = Instant::now();
    let mut compaction = Compaction::new(limits.retention, loaded.compacted);
    compaction.reached(list.revision(), now);
    let mut trash =
        Trash::new(limits.retention.trash_age, loaded.tasks.iter().map(|task| &**task), clock);
    trash.schedule(clock, now);
    let handle = StateHandle {
        commands,
        queue_max: limits.queue_max,
        published: published.clone(),
        is_sole_writer: store.is_sole_writer(),
    };
    let requests = RequestIndex::new(&loaded.requests, loaded.last_request);
    drop(loaded);
    let watchers = Watchers::new(limits, Box::new(publisher), closed);
    let retention = (compaction, trash);
    let state = State::new(list, store, requests, published, watchers, retention, hooks);
    let inputs = Inputs { commands: command_queue, closed: closed_queue, stopped };
    let thread = Builder::new().name("state".to_owned()).spawn(move || {
        let _alive = alive;
        run(state, &inputs)
    });
    let thread = StateThread { stop, ended, thread: thread.map_err(Fatal::Thread)? };
    Ok(Running { handle, thread, log, histories })
}

/// Times never go backwards, so a clock that was ahead stays in every later change.
fn warn_if_clock_was_ahead(changed_at: Timestamp, clock: Timestamp) {
    let ahead = changed_at.0.saturating_sub(clock.0);
    if changed_at > future_from(clock) {
        log::warn!(
            "the last change was made {} in the future: check the clock; \
             every new change gets that time, until `todod check --repair-times` corrects it",
            counted(ahead / (24 * 60 * 60 * 1_000_000), "day", "days")
        );
    }
}

/// What the state thread waits for.
struct Inputs {
    commands: Receiver<Command>,
    closed: Receiver<(Filter, WatcherId)>,
    /// Disconnects when the thread is to stop.
    stopped: Receiver<()>,
}

/// Runs until stopped, or until a failure makes it unsafe to continue: then the store is
/// left alone.
fn run(mut state: State, inputs: &Inputs) -> Result<Box<dyn Store>, Fatal> {
    let served = serve(&mut state, inputs);
    for queued in inputs.commands.try_iter() {
        queued.reject(StateError::OutcomeUnknown);
    }
    state.end();
    served.map(|()| state.into_store())
}

fn serve(state: &mut State, inputs: &Inputs) -> Result<(), Fatal> {
    let blocked = never();
    loop {
        let now = Instant::now();
        let deadline = state.next_deadline();
        let timeout = deadline.map_or(IDLE_TICK, |due| due.saturating_duration_since(now));
        let commands = if state.takes_commands(now) { &inputs.commands } else { &blocked };
        let event = select! {
            recv(commands) -> command => match command {
                Ok(first) => Event::Commands(gather(first, commands, state.batch_commands_max())),
                Err(_) => break,
            },
            recv(inputs.closed) -> closed => match closed {
                Ok((filter, id)) => Event::Closed(filter, id),
                Err(_) => break,
            },
            recv(state.store_ready()) -> _ => Event::StoreReady,
            recv(inputs.stopped) -> _ => break,
            default(timeout) => Event::Deadline,
        };
        let now = Instant::now();
        state.step(event, now)?;
        // Under load there is always a next event.
        if state.next_deadline().is_some_and(|due| due <= now) {
            state.step(Event::Deadline, now)?;
        }
    }
    finish(state, &inputs.commands)
}

/// The first command and what else is queued, as one batch.
fn gather(first: Command, queued: &Receiver<Command>, max: usize) -> VecDeque<Command> {
    // On a shared core, the poll thread first enqueues what it has received. Otherwise the
    // state thread is woken for each command: measured, 140,000 context switches for
    // 200,000 calls instead of 2,400.
    if queued.len() < GATHER_COMMANDS {
        thread::yield_now();
    }
    let mut commands = VecDeque::from([first]);
    commands.extend(queued.try_iter().take(max - 1));
    commands
}

/// Executes what is queued, and waits a while for a store that settles later.
fn finish(state: &mut State, queued: &Receiver<Command>) -> Result<(), Fatal> {
    let until = Instant::now() + FINISH_WITHIN;
    loop {
        let now = Instant::now();
        let commands = match state.takes_commands(now) {
            true => queued.try_iter().collect(),
            false => VecDeque::new(),
        };
        state.step(Event::Commands(commands), now)?;
        if state.is_idle() && queued.is_empty() {
            return Ok(());
        }
        let wait = state.next_deadline().map_or(until, |due| due.min(until));
        let _ = state.store_ready().recv_deadline(wait);
        let now = Instant::now();
        if now >= until {
            return Ok(());
        }
        state.step(Event::Deadline, now)?;
    }
}

impl StateHandle {
    /// Never waits: a full queue, or a thread that has ended, is a reply, given before this
    /// returns. Whether the command was queued.
    #[must_use]
    pub fn submit(&self, command: Command) -> bool {
        match self.commands.try_send(command) {
            Ok(()) => return true,
            Err(TrySendError::Full(command)) => {
                command.reject(StateError::QueueFull { max: self.queue_max });
            }
            Err(TrySendError::Disconnected(command)) => command.reject(StateError::ShuttingDown),
        }
        false
    }

    /// Commands that wait.
    pub fn queued(&self) -> usize {
        self.commands.len()
    }

    /// The list as it was published last.
    pub fn published(&self) -> Arc<Published> {
        self.published.load()
    }

    /// Whether [`StateHandle::published`] holds everything that was committed. If not, a
    /// read first passes a [`Command::Barrier`].
    pub fn is_sole_writer(&self) -> bool {
        self.is_sole_writer
    }
}

impl StateThread {
    /// Disconnects when the thread has ended, by itself or because it was stopped.
    pub fn ended(&self) -> &Receiver<()> {
        &self.ended
    }

    /// Executes what is queued, and returns the store, to be closed. The error is why the
    /// thread had ended before.
    pub fn stop(self) -> Result<Box<dyn Store>, Fatal> {
        drop(self.stop);
        match self.thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}
