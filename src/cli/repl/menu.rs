use std::io;

use super::terminal::Terminal;
use crate::cli::commands::Session;
use crate::cli::render::Shown;
use crate::client::{CallError, Edit, proto};

/// The menu of the reference example's client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    Add,
    List,
    Complete,
    Exit,
}

impl Choice {
    pub(super) fn parse(line: &str) -> Option<Choice> {
        match line.trim() {
            "1" => Some(Choice::Add),
            "2" => Some(Choice::List),
            "3" => Some(Choice::Complete),
            "4" => Some(Choice::Exit),
            _ => None,
        }
    }
}

/// Does what the example's client does, in its words. Asks for what it needs.
pub(super) fn run(
    choice: Choice,
    terminal: &mut Terminal,
    session: &mut Session<'_>,
) -> io::Result<()> {
    let done = match choice {
        Choice::Add => match terminal.ask("Enter task title: ", session.out) {
            Some(title) => add(&title, session)?,
            None => return Ok(()),
        },
        Choice::List => list(session)?,
        Choice::Complete => match terminal.ask("Enter task ID to complete: ", session.out) {
            Some(id) => complete(&id, session)?,
            None => return Ok(()),
        },
        Choice::Exit => return Ok(()),
    };
    if let Err(e) = done {
        session.out.failed("", &e);
    }
    session.out.flush()
}

/// The outer error is one of the output, the inner one of the call.
type Called = io::Result<Result<(), CallError>>;

fn add(title: &str, session: &mut Session<'_>) -> Called {
    match session.client.add(title) {
        Ok(task) => session.out.line(format!("Added task ID: {}", task.id)).map(Ok),
        Err(e) => Ok(Err(e)),
    }
}

fn list(session: &mut Session<'_>) -> Called {
    session.out.line("\nTasks:")?;
    for page in session.client.pages(proto::Filter::LIVE) {
        let tasks = match page {
            Ok(tasks) => tasks,
            Err(e) => return Ok(Err(e)),
        };
        for task in tasks {
            let done = if task.completed { "✓" } else { " " };
            session.out.line(format!("{done} {}: {}", task.id, Shown(&task.title)))?;
        }
    }
    Ok(Ok(()))
}

fn complete(id: &str, session: &mut Session<'_>) -> Called {
    let Ok(id) = id.trim().parse() else {
        session.out.message(&format!("{id:?} is not a task ID: use a number"));
        return Ok(Ok(()));
    };
    match session.client.edit_noticing_noop(id, Edit::Complete) {
        Ok(edited) if edited.is_noop => {
            session.out.line(format!("Task {id} is already completed.")).map(Ok)
        }
        Ok(_) => session.out.line("Success!").map(Ok),
        Err(e) => Ok(Err(e)),
    }
}
