//! The blocking client: calls with a timeout, listings that page by themselves, and a
//! watch that reconnects. It works against the seed's server, too.

mod error;
mod interrupt;
mod tasks;
mod transport;
mod watch;

pub use crate::rpc::{json, proto};
pub use error::{CallError, Code};
pub use interrupt::Interrupt;
pub use tasks::Edit;
pub use transport::{Client, DEFAULT_SERVER};
pub use watch::{Watch, WatchEvent, WatchOptions};
