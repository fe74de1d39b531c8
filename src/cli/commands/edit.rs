use std::io;

use super::Session;
use crate::cli::{Exit, render};
use crate::client::{Client, Edit, proto};

/// Edits each of the tasks: all are tried.
pub fn each(ids: &[i32], edit: &Edit, session: &mut Session<'_>) -> io::Result<Exit> {
    let mut exit = Exit::Ok;
    for &id in ids {
        match session.client.edit(id, edit.clone()) {
            Ok(task) => {
                let task = task.unwrap_or_else(|| look_up(id, session.client));
                let done = format!("{} {}", word(edit), render::brief(&task));
                session.out.task(&task, done.trim_end())?;
            }
            Err(e) => exit = exit.or(session.out.failed(&format!("{id}: "), &e)),
        }
    }
    Ok(exit)
}

/// What became of the task.
fn word(edit: &Edit) -> &'static str {
    match edit {
        Edit::Complete => "completed",
        Edit::Reopen => "reopened",
        Edit::Delete => "deleted",
        Edit::Restore => "restored",
        Edit::Retitle(_) => "changed",
    }
}

/// The seed's server completes a task without showing it, so it is looked for in the
/// list. Not finding it then is no failure of the edit.
fn look_up(id: i32, client: &Client) -> proto::Task {
    let mut pages = client.pages(proto::Filter::ANY).map_while(Result::ok);
    pages
        .find_map(|tasks| tasks.into_iter().find(|task| task.id == id))
        .unwrap_or_else(|| proto::Task { id, completed: true, ..Default::default() })
}
