use std::sync::Arc;

use super::{Notify, Reply, Subscription};
use crate::model::{Filter, Guard, Mutation, Rejection, Task, TaskList};

/// What the state thread can be asked. `F` is an encoded update.
pub enum Command<F> {
    /// Change the list. Answered with the task after it, once that is on disk.
    Mutate { mutation: Mutation, guard: Guard, reply: Reply<Arc<Task>> },
    /// The list as it is on disk.
    Snapshot { reply: Reply<TaskList> },
    /// Follow the changes. `notify` is called when there is something to read.
    Watch { start: WatchStart, notify: Notify, reply: Reply<Subscription<F>> },
}

/// From where to watch, and what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WatchStart {
    pub filter: Filter,
    /// Whether the list as it is comes first.
    pub snapshot: bool,
}

/// Counts the watches since the start.
pub(super) type WatcherId = u64;

/// What the state thread is told outside the queue of commands.
pub(super) enum Control {
    Unwatch(WatcherId),
    /// Finish what is queued, then end.
    Stop,
}

impl<F> Command<F> {
    pub(super) fn expired(&self) -> bool {
        match self {
            Command::Mutate { reply, .. } => reply.expired(),
            Command::Snapshot { reply } => reply.expired(),
            Command::Watch { reply, .. } => reply.expired(),
        }
    }

    pub(super) fn reject(self, why: Rejection) {
        match self {
            Command::Mutate { reply, .. } => reply.give(Err(why)),
            Command::Snapshot { reply } => reply.give(Err(why)),
            Command::Watch { reply, .. } => reply.give(Err(why)),
        }
    }
}
