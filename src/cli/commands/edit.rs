use std::io;

use super::Session;
use crate::cli::{Exit, render};
use crate::client::{Edit, Edited};

/// Edits each of the tasks, also after one has failed.
pub(super) fn each(ids: &[i32], edit: &Edit, session: &mut Session<'_>) -> io::Result<Exit> {
    let mut exit = Exit::Ok;
    for &id in ids {
        match session.client.edit_noticing_noop(id, edit.clone()) {
            Ok(Edited { task, is_noop }) => {
                let what = if is_noop { already(edit) } else { past_tense(edit) };
                let done = format!("{what} {}", render::brief(&task));
                session.out.task(&task, done.trim_end())?;
            }
            Err(e) => exit = exit.or(session.out.failed(&format!("{id}: "), &e)),
        }
    }
    Ok(exit)
}

/// Describes a task that already was as the edit wants it.
fn already(edit: &Edit) -> &'static str {
    match edit {
        Edit::Complete => "already completed",
        Edit::Reopen => "already open",
        Edit::Delete => "already deleted",
        Edit::Restore => "not deleted",
        Edit::Purge => "already purged",
        Edit::Retitle(_) => "unchanged",
    }
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
