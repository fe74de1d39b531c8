use std::io;

use super::line::parse;
use super::{Done, execute};
use crate::cli::Exit;
use crate::cli::commands::Session;
use crate::cli::input::next_line;
use crate::cli::output::Out;
use crate::client::Client;

/// Runs each line; of several failures the first decides.
pub fn run(client: &Client, out: &mut Out) -> io::Result<Exit> {
    let never = crossbeam_channel::never();
    let mut session = Session { client, out, interrupted: &never };
    let mut exit = Exit::Ok;
    for number in 1.. {
        // Locked for one line only: nobody else reads, but a command may.
        let line = match next_line(&mut io::stdin().lock()) {
            Ok(Some(Ok(line))) => line,
            Ok(Some(Err(e))) => {
                session.out.message(&format!("line {number}: {e}"));
                exit = exit.or(Exit::Rejected);
                continue;
            }
            Ok(None) => break,
            Err(e) => {
                session.out.message(&format!("cannot read the standard input: {e}"));
                return Ok(exit.or(Exit::Failure));
            }
        };
        exit = exit.or(match parse(&line) {
            Ok(None) => continue,
            Ok(Some(line)) => match execute(&line, &mut session)? {
                Done::Command(exit) => exit,
                Done::Leave => break,
            },
            Err(not_run) => not_run.explain(session.out)?,
        });
    }
    Ok(exit)
}
