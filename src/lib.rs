//! A shared task list: durable, ordered, live. The library behind `todod`, the
//! daemon, `todo`, its REPL and shell client, and `todo-web`, its page. ARCHITECTURE.md has the map.

pub mod cli;
pub mod client;
pub mod limits;
pub mod model;
pub mod os;
pub mod server;
pub mod state;
pub mod store;
#[cfg(feature = "web")]
pub mod web;
pub mod wire;
