//! The actor: one thread that owns the list, the store and the registry of watches.
//! Commands carry their reply, readers take what it published.

mod actor;
mod command;
mod error;
mod handle;
mod log;
mod pinned;
mod published;
mod request_index;
mod retention;
mod subscription;
mod transaction;
mod watchers;

#[cfg(test)]
mod tests;

pub use command::{Command, Mutate, Reply, ReplyTo, Watch, WatchFrom, WatchStart};
pub use error::StateError;
pub use handle::{Fatal, Hooks, Limits, Running, StateHandle, StateThread, spawn};
pub use log::{ChangeLog, EncodedUpdates, Next};
pub use published::{Published, PublishedList};
pub use retention::Retention;
pub use subscription::{CutOff, Start, Subscription};
pub use watchers::Notify;
