use std::io;

use super::Session;
use crate::cli::args::ListArgs;
use crate::cli::{Exit, render};
use crate::client::{CallError, Code};

pub(super) fn run(args: &ListArgs, session: &mut Session<'_>) -> io::Result<Exit> {
    let mut has_header = session.out.json;
    for page in session.client.pages_at(args.filter.filter(), args.at) {
        let tasks = match page {
            Ok(tasks) => tasks,
            Err(e) => return Ok(failed(args, &e, session)),
        };
        for task in tasks {
            if !has_header {
                session.out.line(render::header())?;
                has_header = true;
            }
            session.out.task(&task, render::row(&task))?;
        }
    }
    if !has_header {
        session.out.message("no tasks");
    }
    Ok(Exit::Ok)
}

fn failed(args: &ListArgs, error: &CallError, session: &mut Session<'_>) -> Exit {
    let exit = session.out.failed("", error);
    if error.code == Code::OutOfRange && args.at.is_some() {
        session.out.message("leave --at out to show the list as it is");
    }
    exit
}
