//! `todo-web` from outside: HTTP/1.1 as it is on the wire, against a real `todod`.

#![allow(clippy::unwrap_used)]

mod away;
mod calls;
mod crowd;
#[path = "../cli/daemon.rs"]
mod daemon;
mod edge;
mod events;
mod files;
mod guard;
#[allow(dead_code)] // the system tests use the rest of it
#[path = "../system/harness.rs"]
mod harness;
mod http;
mod limits;
mod program;
