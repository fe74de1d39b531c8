//! A shared task list: durable, ordered, live. The library behind `todod`, the
//! daemon, and `todo`, its REPL and shell client. ARCHITECTURE.md has the map.

pub mod cli;
pub mod client;
pub mod limits;
pub mod model;
pub mod rpc;
pub mod server;
pub mod state;
pub mod store;
