use std::io;

use super::line::parse;
use super::{Done, execute};
use crate::cli::Exit;
use crate::cli::commands::Session;
use crate::cli::input::Lines;
use crate::cli::output::Out;
use crate::client::Client;

/// Runs each line of the standard input. The first failure decides the exit code.
pub(super) fn run(client: &Client, out: &mut Out) -> io::Result<Exit> {
    let never = crossbeam_channel::never();
    let mut session = Session { client, out, interrupted: &never };
    let mut exit = Exit::Ok;
    let mut lines = Lines::new();
    loop {
        // The lock lasts for one line: a command may read the standard input, too.
        let line = match lines.next(&mut io::stdin().lock()) {
            Ok(Some(Ok(line))) => line,
            Ok(Some(Err(e))) => {
                session.out.message(&format!("line {}: {e}", lines.number));
                exit = exit.or(Exit::Rejected);
                continue;
            }
            Ok(None) => return Ok(exit),
            Err(e) => {
                session.out.message(&format!("cannot read the standard input: {e}"));
                return Ok(exit.or(Exit::Failure));
            }
        };
        exit = exit.or(match parse(&line) {
            Ok(None) => continue,
            Ok(Some(line)) => match execute(&line, &mut session)? {
                Done::Command(exit) => exit,
                Done::Leave => return Ok(exit),
            },
            Err(not_run) => not_run.explain(session.out)?,
        });
    }
}
