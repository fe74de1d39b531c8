use std::io;

use super::Session;
use crate::cli::{Exit, render};
use crate::client::Edit;

/// Edits each of the tasks, also after one has failed.
pub(super) fn each(ids: &[i32], edit: &Edit, session: &mut Session<'_>) -> io::Result<Exit> {
    let mut exit = Exit::Ok;
    for &id in ids {
        match session.client.edit(id, edit.clone()) {
            Ok(task) => {
                let done = format!("{} {}", past_tense(edit), render::brief(&task));
                session.out.task(&task, done.trim_end())?;
            }
            Err(e) => exit = exit.or(session.out.failed(&format!("{id}: "), &e)),
        }
    }
    Ok(exit)
}

fn past_tense(edit: &Edit) -> &'static str {
    match edit {
        Edit::Complete => "completed",
        Edit::Reopen => "reopened",
        Edit::Delete => "deleted",
        Edit::Restore => "restored",
        Edit::Purge => "purged",
        Edit::Retitle(_) => "changed",
    }
}
