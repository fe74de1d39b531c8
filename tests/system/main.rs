//! The system from outside: real servers, through the real client.

#![allow(clippy::unwrap_used)]

mod abuse;
mod architecture;
mod calls;
mod daemon;
mod durability;
mod harness;
mod load;
mod neutral;
mod pages;
mod readme;
mod requests;
mod retry;
mod scripts;
mod watch;
