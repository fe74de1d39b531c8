//! The program `todo` without its `main`: arguments, commands and REPL.

mod args;
mod commands;
mod exit;
mod input;
mod output;
pub mod program;
mod render;
mod repl;
mod state_file;

pub use args::{Cli, Command, server};
pub use exit::Exit;

use std::mem;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::SIGINT;

use crate::client::Client;
use commands::Session;
use output::Out;

/// Runs a command or the REPL, and returns the exit code.
pub fn run(cli: &Cli) -> Exit {
    let mut out = Out::standard(cli.json);
    let client = match Client::new(&cli.server, cli.call_timeout()) {
        Ok(client) => client,
        Err(e) => return out.failed("", &e),
    };
    // This reference is never dropped. Shutting the C core down takes a second now and then,
    // because its wait for its own threads misses their wake-up, and the process ends anyway.
    mem::forget(client.clone());
    match &cli.command {
        Some(command) => {
            exit_on_interrupt(&mut out);
            let never = crossbeam_channel::never();
            let mut session = Session { client: &client, out: &mut out, interrupted: &never };
            let done = commands::run(command, &mut session);
            out.end(done)
        }
        None => repl::run(&client, &mut out),
    }
}

/// Makes Ctrl-C end the program immediately, with the exit code that shells expect.
fn exit_on_interrupt(out: &mut Out) {
    let always = Arc::new(AtomicBool::new(true));
    let code = Exit::Interrupted as i32;
    if let Err(e) = signal_hook::flag::register_conditional_shutdown(SIGINT, code, always) {
        out.message(&format!("cannot handle Ctrl-C: {e}"));
    }
}
