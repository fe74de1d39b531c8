//! The blocking client: calls with a timeout, listings that fetch their pages, and a watch
//! that reconnects and misses nothing. [`WatchStream`] is the same watch without blocking.
//! The client works with the reference example's server, too: see `example`.

mod backoff;
mod calls;
mod error;
mod example;
mod interrupt;
mod pipeline;
mod sequence;
mod transport;
mod waiter;
mod watch;
mod watch_call;
mod watch_stream;

pub use crate::wire::{json, proto};
pub use calls::{ChangesQuery, Edit, Edited};
pub use error::{CallError, Code};
pub use interrupt::Interrupt;
pub use pipeline::Pipeline;
pub use sequence::{Position, UpdateKind, is_purge};
pub use transport::{Client, DEFAULT_SERVER};
pub use watch::Watch;
pub use watch_stream::{Timer, WatchEvent, WatchOptions, WatchStart, WatchStream};
