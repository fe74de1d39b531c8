use std::fs::File;
use std::io::{self, BufReader};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Session;
use crate::cli::args::AddArgs;
use crate::cli::input::Lines;
use crate::cli::{Exit, render};
use crate::client::{CallError, Pipeline, proto};

pub(super) fn run(args: &AddArgs, session: &mut Session<'_>) -> io::Result<Exit> {
    match &args.title[..] {
        [dash] if dash == "-" => match io::stdin().as_fd().try_clone_to_owned() {
            Ok(stdin) => add_lines(BufReader::new(stdin.into()), args.quiet, session),
            Err(e) => {
                session.out.message(&unreadable(&e));
                Ok(Exit::Failure)
            }
        },
        words => {
            let added = session.client.add(&words.join(" "));
            report("", added, args.quiet, session)
        }
    }
}

/// Adds one task for each line that is not blank, in order. A rejected line does not stop
/// the lines after it. An unreachable server does: each of them would wait for the timeout.
fn add_lines(
    mut input: BufReader<File>,
    quiet: bool,
    session: &mut Session<'_>,
) -> io::Result<Exit> {
    let mut pipeline = Pipeline::new(session.client);
    let mut lines = Lines::new();
    let mut exit = Exit::Ok;
    let mut is_at_end = false;
    // Why a line cannot be used, until the lines before it are answered.
    let mut unusable: Option<(Exit, String)> = None;
    loop {
        if pipeline.is_empty() {
            if let Some((failure, why)) = unusable.take() {
                session.out.message(&why);
                exit = exit.or(failure);
            }
            if is_at_end {
                return Ok(exit);
            }
            // Before the wait for the next line.
            session.out.flush()?;
        }
        let may_read = !is_at_end && unusable.is_none() && pipeline.has_room();
        if may_read && (pipeline.is_empty() || has_line(&input)) {
            match lines.next(&mut input) {
                Ok(Some(Ok(title))) if title.trim().is_empty() => {}
                Ok(Some(Ok(title))) => pipeline.add(&title, lines.number),
                Ok(Some(Err(why))) => {
                    unusable = Some((Exit::Rejected, format!("line {}: {why}", lines.number)));
                }
                Ok(None) => is_at_end = true,
                Err(e) => (is_at_end, unusable) = (true, Some((Exit::Failure, unreadable(&e)))),
            }
        } else if let Some((number, added)) = pipeline.next_answer() {
            let added = report(&about(number), added, quiet, session)?;
            exit = exit.or(added);
            if added == Exit::Unavailable {
                for (number, added) in pipeline.abandon() {
                    report(&about(number), added, quiet, session)?;
                }
                session.out.message(&format!("stopped before line {}", lines.number + 1));
                return Ok(exit);
            }
        }
    }
}

/// Whether the next line can be read without waiting for its writer.
fn has_line(input: &BufReader<File>) -> bool {
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut files = [PollFd::new(input.get_ref(), PollFlags::IN)];
    input.buffer().contains(&b'\n') || poll(&mut files, Some(&at_once)).is_ok_and(|n| n > 0)
}

fn about(line: u64) -> String {
    format!("line {line}: ")
}

fn unreadable(error: &io::Error) -> String {
    format!("cannot read the standard input: {error}")
}

/// Prints the new task, or why there is none; `about` starts that message.
fn report(
    about: &str,
    added: Result<proto::Task, CallError>,
    quiet: bool,
    session: &mut Session<'_>,
) -> io::Result<Exit> {
    match added {
        Ok(task) if quiet => session.out.line(task.id)?,
        Ok(task) => session.out.task(&task, render::brief(&task))?,
        Err(e) => return Ok(session.out.failed(about, &e)),
    }
    Ok(Exit::Ok)
}
