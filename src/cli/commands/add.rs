use std::io;

use super::Session;
use crate::cli::args::AddArgs;
use crate::cli::input::next_line;
use crate::cli::{Exit, render};

pub fn run(args: &AddArgs, session: &mut Session<'_>) -> io::Result<Exit> {
    match &args.title[..] {
        [dash] if dash == "-" => add_lines(args.quiet, session),
        words => add(&words.join(" "), "", args.quiet, session),
    }
}

/// One title a line. A line that is refused does not stop the next; a server that is
/// gone stops them all.
fn add_lines(quiet: bool, session: &mut Session<'_>) -> io::Result<Exit> {
    let mut stdin = io::stdin().lock();
    let mut exit = Exit::Ok;
    for number in 1.. {
        let line = match next_line(&mut stdin) {
            Ok(Some(line)) => line,
            Ok(None) => break,
            Err(e) => {
                session.out.message(&format!("cannot read the standard input: {e}"));
                return Ok(exit.or(Exit::Failure));
            }
        };
        let about = format!("line {number}: ");
        let added = match line {
            Ok(title) if title.trim().is_empty() => Exit::Ok,
            Ok(title) => add(&title, &about, quiet, session)?,
            Err(e) => {
                session.out.message(&format!("{about}{e}"));
                Exit::Rejected
            }
        };
        exit = exit.or(added);
        if added == Exit::Unavailable {
            // Each further line would wait for the timeout, too.
            session.out.message(&format!("stopped before line {}", number + 1));
            break;
        }
    }
    Ok(exit)
}

fn add(title: &str, about: &str, quiet: bool, session: &mut Session<'_>) -> io::Result<Exit> {
    match session.client.add(title) {
        Ok(task) if quiet => session.out.line(task.id)?,
        Ok(task) => session.out.task(&task, render::brief(&task))?,
        Err(e) => return Ok(session.out.failed(about, &e)),
    }
    Ok(Exit::Ok)
}
