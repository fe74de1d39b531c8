//! `todo-web` from outside: HTTP/1.1 on the wire, in front of a real `todod`.

#![allow(clippy::unwrap_used)]

mod access_guard;
mod app;
mod away;
mod calls;
mod crowd;
#[path = "../cli/daemon.rs"]
mod daemon;
mod events;
mod files;

#[allow(dead_code)] // the CLI's tests use the rest of it
#[path = "../cli/controlled_server.rs"]
mod controlled_server;
#[allow(dead_code)] // the system tests use the rest of it
#[path = "../system/harness.rs"]
mod harness;
mod http;
mod limits;
mod program;

use harness::DEADLINE;
