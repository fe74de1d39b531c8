//! `todo` without a command, in a terminal: what the user sees.

#![allow(clippy::unwrap_used)]

#[path = "../cli/daemon.rs"]
mod daemon;
#[path = "../example_server/mod.rs"]
mod example_server;
mod live;
mod terminal;
mod typing;

use std::path::Path;
use std::time::Duration;

use todo::client::Client;
use todo::server::Server;
use todo::state::Limits;
use todo::store::MemoryStore;

/// How long a test waits for what must come. It is not a measure of speed.
const DEADLINE: Duration = Duration::from_secs(60);

fn server_on(address: &str) -> (Server, String) {
    let store = Box::new(MemoryStore::new("test-list"));
    let server = Server::start(store, Limits::default(), &[address.parse().unwrap()]).unwrap();
    let address = server.addresses()[0].to_string();
    (server, address)
}

fn server() -> (Server, String) {
    server_on("127.0.0.1:0")
}

/// An address at which no other process can start to listen between two servers.
fn socket(dir: &Path) -> String {
    format!("unix:{}", dir.join("todo.sock").display())
}

fn client(address: &str) -> Client {
    Client::new(address, DEADLINE).unwrap()
}
