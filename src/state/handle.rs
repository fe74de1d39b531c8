use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, unbounded};

use super::compaction::Compaction;
use super::thread::State;
use super::watchers::Watchers;
use super::{Command, HistoryReader, Recent, Retention};
use crate::limits;
use crate::model::{Change, Rejection, TaskList, Timestamp};
use crate::store::{CommitError, Store, StoreError};

/// What the state thread needs of the world around it.
pub struct Hooks<F> {
    /// Makes the burst of updates that all watchers of these changes share.
    pub encode: fn(&[&Change]) -> F,
    /// Whether watchers are still being served what was published before. What comes
    /// meanwhile is published together.
    pub delivering: Box<dyn Fn() -> bool + Send>,
    /// Called once at the end of each turn, after its replies and updates: the one
    /// wake of whoever delivers them.
    pub turn_done: Box<dyn Fn() + Send>,
    pub clock: fn() -> Timestamp,
}

/// Bounds of the state thread's queues and list.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Tasks, deleted ones counted.
    pub tasks_max: u32,
    /// Commands that wait.
    pub queue_max: usize,
    /// Watches at once.
    pub watchers_max: usize,
    /// Updates that wait for one watcher.
    pub watch_queue_max: usize,
    /// A watch whose client does not read ends after this long.
    pub watch_stall_timeout: Duration,
    pub history: Retention,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            tasks_max: limits::TASKS_MAX_DEFAULT,
            queue_max: limits::QUEUE_MAX_DEFAULT,
            watchers_max: limits::WATCHERS_MAX_DEFAULT,
            watch_queue_max: limits::WATCH_QUEUE_MAX_DEFAULT,
            watch_stall_timeout: limits::WATCH_STALL_TIMEOUT_DEFAULT,
            history: Retention::default(),
        }
    }
}

/// Sends commands to the state thread.
pub struct StateHandle<F> {
    commands: Sender<Command<F>>,
    queue_max: usize,
}

/// The running state thread.
pub struct StateThread {
    stop: Sender<()>,
    ended: Receiver<()>,
    thread: JoinHandle<Result<Box<dyn Store>, Fatal>>,
}

/// Why the state thread could not go on. What it had acknowledged is safe.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    #[error("{0}; nothing that was acknowledged is lost: start again")]
    Commit(CommitError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

// By hand, because `#[from]` would make it the error's source, too, and whoever prints
// the chain of causes would print it twice.
impl From<CommitError> for Fatal {
    fn from(error: CommitError) -> Fatal {
        Fatal::Commit(error)
    }
}

/// Loads the list and starts the thread that owns it. The reader is for another one.
pub fn spawn<F: Clone + Send + 'static>(
    mut store: Box<dyn Store>,
    limits: Limits,
    hooks: Hooks<F>,
) -> Result<(StateHandle<F>, StateThread, HistoryReader), Fatal> {
    let loaded = store.load()?;
    let list = TaskList::new(loaded.list_id, loaded.tasks, limits.tasks_max);
    log::info!("list {} at revision {}: {} tasks", list.list_id(), list.revision(), list.len());
    let recent = Arc::new(Recent::new(list.revision()));
    let history = HistoryReader::new(recent.clone(), store.history()?);
    let (commands, command_queue) = bounded(limits.queue_max);
    // Unbounded, but there are at most two entries a watch: each sends one Unwatch, and
    // before that one Rejoin at a time.
    let (control, control_queue) = unbounded();
    // Nothing is ever sent: they disconnect to stop the thread, and when it has ended.
    let (stop, stopped) = bounded(0);
    let (alive, ended) = bounded(0);
    let mut compaction = Compaction::new(limits.history, loaded.compacted);
    compaction.at(list.revision(), Instant::now());
    let state = State {
        watchers: Watchers::new(limits, recent, hooks.encode, control),
        compaction,
        list,
        store,
        commands: command_queue,
        control: control_queue,
        stopped,
        hooks,
        publish_at: None,
        refusing: None,
    };
    let thread = Builder::new().name("state".to_owned()).spawn(move || {
        let _alive = alive;
        state.run()
    });
    let thread = thread.map_err(Fatal::Thread)?;
    let handle = StateHandle { commands, queue_max: limits.queue_max };
    Ok((handle, StateThread { stop, ended, thread }, history))
}

impl<F> StateHandle<F> {
    /// Never waits: a full queue, or a thread that has ended, is an answer, given
    /// before this returns. Whether the command was queued.
    #[must_use]
    pub fn submit(&self, command: Command<F>) -> bool {
        match self.commands.try_send(command) {
            Ok(()) => return true,
            Err(TrySendError::Full(command)) => {
                command.reject(Rejection::QueueFull { max: self.queue_max });
            }
            Err(TrySendError::Disconnected(command)) => command.reject(Rejection::ShuttingDown),
        }
        false
    }
}

impl<F> StateHandle<F> {
    /// Commands that wait for their turn.
    pub fn queued(&self) -> usize {
        self.commands.len()
    }
}

impl<F> Clone for StateHandle<F> {
    fn clone(&self) -> StateHandle<F> {
        StateHandle { commands: self.commands.clone(), queue_max: self.queue_max }
    }
}

impl StateThread {
    /// Disconnects when the thread has ended, of its own or because it was stopped.
    pub fn ended(&self) -> &Receiver<()> {
        &self.ended
    }

    /// Lets it finish what is queued, and returns the store, to be closed. What it could
    /// not go on with comes back as the error.
    pub fn stop(self) -> Result<Box<dyn Store>, Fatal> {
        drop(self.stop);
        match self.thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_said_once() {
        let lost = CommitError::Unknown("the sync failed".to_owned());
        for fatal in [lost.into(), Fatal::Thread(io::Error::other("the sync failed"))] {
            let said = format!("{:#}", anyhow::Error::new(fatal));
            assert_eq!(said.matches("the sync failed").count(), 1, "{said}");
        }
    }
}
