use std::time::Duration;

use super::{Notify, StateError, Subscription};
use crate::model::{Answer, Filter, Request, Revision};

/// What the state thread can be asked.
pub enum Command {
    Mutate(Mutate),
    /// Answered once the published list holds everything committed before this command.
    Barrier {
        reply: Reply<()>,
    },
    Watch(Watch),
}

/// A mutation of the list, answered once it is on disk.
pub struct Mutate {
    pub request: Request,
    pub reply: Reply<Answer>,
}

/// A watch to register. `notify` is called when there is something for its stream to do.
pub struct Watch {
    pub start: WatchStart,
    pub notify: Notify,
    pub reply: Reply<Subscription>,
}

/// What to watch, and how.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WatchStart {
    pub filter: Filter,
    pub from: WatchFrom,
    /// Report progress after this long without an update.
    pub progress: Option<Duration>,
}

/// The position that a watch starts from.
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
        /// The list that the revision belongs to; empty: any list.
        list_id: String,
        /// Whether to start from the list as it is if that history was compacted.
        else_snapshot: bool,
    },
}

impl WatchFrom {
    /// Whether the watch starts from the list as it is if history was compacted.
    pub fn or_snapshot(&self) -> bool {
        matches!(self, WatchFrom::Snapshot | WatchFrom::After { else_snapshot: true, .. })
    }
}

impl Command {
    pub(super) fn reject(self, why: StateError) {
        match self {
            Command::Mutate(mutate) => mutate.reply.give(Err(why)),
            Command::Barrier { reply } => reply.give(Err(why)),
            Command::Watch(watch) => watch.reply.give(Err(why)),
        }
    }
}

/// Where the reply to a command goes.
pub trait ReplyTo<T>: Send {
    /// Whether the caller no longer waits. Asked before the command is executed.
    fn expired(&self) -> bool {
        false
    }

    /// Delivers the reply. Runs on the state thread, so it must not block.
    fn give(self: Box<Self>, reply: Result<T, StateError>);
}

/// A command's right to one reply. Dropped without one, as when the state thread stops
/// in the middle, it replies that the outcome is unknown.
pub struct Reply<T>(Option<Box<dyn ReplyTo<T>>>);

impl<T> Reply<T> {
    pub fn new(to: impl ReplyTo<T> + 'static) -> Reply<T> {
        Reply(Some(Box::new(to)))
    }

    /// For commands of the state thread itself.
    pub(super) fn none() -> Reply<T> {
        Reply(None)
    }

    pub fn expired(&self) -> bool {
        self.0.as_ref().is_some_and(|to| to.expired())
    }

    pub fn give(mut self, reply: Result<T, StateError>) {
        if let Some(to) = self.0.take() {
            to.give(reply);
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        if let Some(to) = self.0.take() {
            to.give(Err(StateError::OutcomeUnknown));
        }
    }
}
