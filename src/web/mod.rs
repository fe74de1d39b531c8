//! `todo-web`: the page's files, calls as JSON, and changes as server-sent events. It keeps no
//! state: to `todod` it is a client like any other.

mod access_guard;
mod app_state;
mod connect;
mod connection;
mod error;
mod events;
mod page;
mod server;

pub use access_guard::HostName;
pub use app_state::Limits;
pub use server::{Config, StartError, Web};
