use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;

use super::subscription::Joined;
use super::{Notify, Reply, Subscription};
use crate::model::{Filter, Guard, Mutation, Rejection, Revision, Task, TaskList};

/// What the state thread can be asked. `F` is a burst of encoded updates.
pub enum Command<F> {
    /// Change the list. Answered with the task after it, once that is on disk.
    Mutate { mutation: Mutation, guard: Guard, reply: Reply<Arc<Task>> },
    /// The list as it is on disk.
    Snapshot { reply: Reply<Snapshot> },
    /// Follow the changes. `notify` is called when there is something to read.
    Watch { start: WatchStart, notify: Notify, reply: Reply<Subscription<F>> },
}

/// The list as it is on disk, and how far back its history goes.
pub struct Snapshot {
    pub list: TaskList,
    /// Every change after this revision is kept.
    pub compacted: Revision,
}

/// What to watch, and how.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WatchStart {
    pub filter: Filter,
    pub from: WatchFrom,
    /// Tell up to where everything was sent after this long without an update.
    pub progress: Option<Duration>,
}

/// From where on to watch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum WatchFrom {
    /// Changes from now on.
    #[default]
    Now,
    /// The list as it is, then changes.
    Snapshot,
    /// Changes after this revision.
    After {
        revision: Revision,
        /// The list that the revision is of; empty: whichever this is.
        list_id: String,
        /// Whether the list as it is will do if that history is gone.
        else_snapshot: bool,
    },
}

impl WatchFrom {
    /// Whether the list as it is will do if history is gone.
    pub fn or_snapshot(&self) -> bool {
        matches!(self, WatchFrom::After { else_snapshot: true, .. })
    }
}

/// Counts the watches since the start.
pub(super) type WatcherId = u64;

/// What the state thread is told outside the queue of commands.
pub(super) enum Control<F> {
    Unwatch(WatcherId),
    /// Feed this watcher again, which had fallen behind.
    Rejoin {
        id: WatcherId,
        to: Sender<Joined<F>>,
    },
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
