//! The edge between browsers and `todod`: the page's files, calls as JSON, and the
//! changes as server-sent events. It keeps nothing: to `todod` it is a client like any
//! other.

mod connect;
mod connection;
mod edge;
mod error;
mod events;
mod guard;
mod page;
mod server;

pub use edge::Limits;
pub use guard::HostName;
pub use server::{Config, StartError, Web};
