//! The actor: one thread that owns the list, the store and the watchers. It knows
//! no transport: commands carry their reply, and updates are frames of any type.

mod command;
mod handle;
mod reply;
mod thread;
mod turn;
mod watchers;

#[cfg(test)]
mod tests;

pub use command::{Command, WatchStart};
pub use handle::{Fatal, Hooks, Limits, StateHandle, StateThread, spawn};
pub use reply::{Answer, Reply};
pub use watchers::{CutOff, Next, Notify, Subscription};
