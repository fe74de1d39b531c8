use std::io;

use jiff::tz::TimeZone;

use super::Session;
use crate::cli::args::HistoryArgs;
use crate::cli::{Exit, render};
use crate::client::{CallError, ChangesQuery, Code};

pub(super) fn run(args: &HistoryArgs, session: &mut Session<'_>) -> io::Result<Exit> {
    let query =
        ChangesQuery { task_id: args.id, after_revision: args.from, up_to_revision: args.to };
    let zone = TimeZone::system();
    let mut has_header = session.out.json;
    for page in session.client.changes(query) {
        let changes = match page {
            Ok(changes) => changes,
            Err(e) => return Ok(failed(args, &e, session)),
        };
        for change in changes {
            if !has_header {
                session.out.line(render::history_header())?;
                has_header = true;
            }
            match session.out.json {
                true => session.out.line(render::update_json(&change))?,
                false => session.out.line(render::history_row(&change, &zone))?,
            }
        }
    }
    if !has_header {
        session.out.message("no changes");
    }
    Ok(Exit::Ok)
}

fn failed(args: &HistoryArgs, error: &CallError, session: &mut Session<'_>) -> Exit {
    let about = args.id.map(|id| format!("{id}: ")).unwrap_or_default();
    let exit = session.out.failed(&about, error);
    if error.code == Code::OutOfRange && args.from.is_some() {
        session.out.message("leave --from out to start with the oldest change that is kept");
    }
    exit
}
