//! The pages that the reader thread makes.

use super::past;
use super::reader::Reading;
use crate::limits::PAST_READS_PER_PAGE;
use crate::model::{Rejection, Revision};
use crate::rpc::{ChangesQuery, Encoded, PageQuery};
use crate::state::{HistoryReader, Snapshot};
use crate::store::ChangeRange;

/// A page of the list, as it is or as it was.
pub fn tasks(
    reading: &mut Reading,
    snapshot: &Snapshot,
    query: &PageQuery,
) -> Result<Encoded, Rejection> {
    match query.past(&snapshot.list) {
        None => reading.encodings.answer(query, &snapshot.list),
        Some(revision) => past_tasks(&mut reading.history, snapshot, query, revision),
    }
}

fn past_tasks(
    history: &mut HistoryReader,
    snapshot: &Snapshot,
    query: &PageQuery,
    revision: Revision,
) -> Result<Encoded, Rejection> {
    let Snapshot { list, compacted } = snapshot;
    Rejection::unless_kept(revision, *compacted)?;
    Rejection::unless_there(revision, list.revision())?;
    let mut after = query.after(list)?;
    let mut page = query.page();
    for _ in 0..PAST_READS_PER_PAGE {
        let tasks = past::tasks(history, revision, after)?;
        let Some(last) = tasks.last() else {
            return Ok(page.end(list.list_id(), revision, false));
        };
        for task in &tasks {
            if !page.push_task(task)? {
                return Ok(page.end(list.list_id(), revision, true));
            }
        }
        after = last.id;
        page.skip_to(after);
    }
    Ok(page.end(list.list_id(), revision, true))
}

/// A page of changes.
pub fn changes(
    reading: &mut Reading,
    snapshot: &Snapshot,
    query: &ChangesQuery,
) -> Result<Encoded, Rejection> {
    let Snapshot { list, compacted } = snapshot;
    if let Some(task) = query.task {
        list.get(task)?;
    }
    let (after, complete) = query.after(list, *compacted)?;
    Rejection::unless_there(after, list.revision())?;
    if complete {
        // Memory may still hold what is gone: every call has the same border.
        Rejection::unless_kept(after, *compacted)?;
        Rejection::unless_kept(query.ends_at().unwrap_or(after), *compacted)?;
    }
    let (up_to, max) = (query.up_to(list), query.changes_max());
    let mut kept_after = *compacted;
    let mut range = ChangeRange { after, up_to, task: query.task, complete, max };
    let changes = match past::changes(&mut reading.history, &range) {
        // Compacted meanwhile: from the oldest that is kept now.
        Err(Rejection::HistoryGone { compacted, .. }) if query.begins_at_the_oldest() => {
            (range.after, kept_after) = (compacted, compacted);
            past::changes(&mut reading.history, &range)
        }
        read => read,
    }?;
    Ok(Encoded::new(&query.answer(list, kept_after, &changes)))
}
