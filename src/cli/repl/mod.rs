//! `todo` without a command: reads commands, one per line.

mod assist;
mod cache;
mod control;
mod ctrl_c;
mod history;
mod keys;
mod line;
mod live;
mod menu;
mod missed;
mod piped;
mod screen;
mod terminal;

use std::io::{self, IsTerminal};

use super::commands::{self, Session};
use super::output::Out;
use super::{Exit, exit_on_interrupt};
use crate::client::Client;
use line::Line;

/// Runs a session with prompt, completion and live updates on a terminal. Otherwise runs the
/// lines of the standard input; the first failure decides the exit code.
pub(super) fn run(client: &Client, out: &mut Out) -> Exit {
    if io::stdin().is_terminal() && io::stdout().is_terminal() {
        let done = terminal::run(client, out);
        out.end(done)
    } else {
        exit_on_interrupt(out);
        let done = piped::run(client, out);
        out.end(done)
    }
}

/// The result of a line.
enum Done {
    Command(Exit),
    /// `exit` or `quit`.
    Leave,
}

fn execute(line: &Line, session: &mut Session<'_>) -> io::Result<Done> {
    match line {
        Line::Command { command, json } => {
            let always = session.out.json;
            session.out.json |= json;
            let done = commands::run(command, session);
            session.out.json = always;
            done.map(Done::Command)
        }
        Line::Control(control) => control::run(control, session.out),
    }
}
