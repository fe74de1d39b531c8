//! The blocking client: calls with a timeout, listings that page by themselves, and a
//! watch that reconnects and misses nothing; for the web edge the same without blocking.
//! It works against the seed's server, too.

mod backoff;
mod error;
mod follow;
mod history;
mod interrupt;
mod sequence;
mod stream;
mod tasks;
mod transport;
mod waiter;
mod watch;

pub use crate::wire::{json, proto};
pub use backoff::Backoff;
pub use error::{CallError, Code};
pub use follow::Follower;
pub use history::ChangesQuery;
pub use interrupt::Interrupt;
pub use sequence::{Mark, Place};
pub use tasks::Edit;
pub use transport::{Client, DEFAULT_SERVER};
pub use watch::{Watch, WatchEvent, WatchOptions, WatchStart};
