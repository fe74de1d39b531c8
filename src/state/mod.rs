//! The actor: one thread that owns the list, the store and the watchers. It knows
//! no transport: commands carry their reply, and updates are frames of any type.

mod command;
mod compaction;
mod handle;
mod history;
mod recent;
mod reply;
mod subscription;
mod thread;
mod turn;
mod versions;
mod watchers;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod watch_tests;

pub use command::{Command, Snapshot, WatchFrom, WatchStart};
pub use compaction::Retention;
pub use handle::{Fatal, Hooks, Limits, StateHandle, StateThread, spawn};
pub use history::HistoryReader;
pub use recent::Recent;
pub use reply::{Answer, Reply};
pub use subscription::{Begin, CutOff, Next, Subscription};
pub use watchers::Notify;
