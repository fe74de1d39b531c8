//! A shared task list: durable, ordered, live. This is the library of three programs: the
//! server `todod`, the client `todo` (a shell command and a REPL), and `todo-web`, which
//! serves the page. ARCHITECTURE.md has the code map.

#![warn(unreachable_pub)]

pub mod cli;
pub mod client;
pub mod limits;
pub mod model;
pub mod os;
pub mod plural;
pub mod server;
pub mod state;
pub mod store;
#[cfg(feature = "web")]
pub mod web;
pub mod wire;
