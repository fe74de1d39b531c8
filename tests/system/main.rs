//! The system from outside: real servers, through the real client.

#![allow(clippy::unwrap_used)]

mod abuse;
mod architecture;
mod calls;
mod change_log;
mod checker;
mod daemon;
mod dead;
mod durability;
mod follow;
mod freshness;
mod harness;
mod http2;
mod interop;
mod load;
mod lost_history;
mod many;
mod open_files;
mod pages;
mod past;
mod promises;
mod purge;
mod readme;
mod requests;
mod restarts;
mod resume;
mod retry;
mod scripts;
mod shared_log;
mod slow;
mod slow_history;
mod snapshots;
mod soak;
mod stream;
mod test_store;
mod watch;
mod workload;
