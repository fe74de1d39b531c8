//! `todo` without a command: the same commands, one a line.

mod assist;
mod control;
mod ctrl_c;
mod history;
mod line;
mod live;
mod meanwhile;
mod menu;
mod piped;
mod screen;
mod tasks;
mod terminal;

use std::io::{self, IsTerminal};

use super::commands::{self, Session};
use super::output::Out;
use super::{Exit, exit_on_interrupt};
use crate::client::Client;
use line::Line;

/// On a terminal a session with prompt, completion and live updates; else the lines of
/// the standard input, with the first failure's exit code.
pub fn run(client: &Client, out: &mut Out) -> Exit {
    if io::stdin().is_terminal() && io::stdout().is_terminal() {
        let done = terminal::run(client, out);
        out.end(done)
    } else {
        exit_on_interrupt(out);
        let done = piped::run(client, out);
        out.end(done)
    }
}

/// What a line came to.
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
