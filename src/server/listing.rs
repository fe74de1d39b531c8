//! The pages that the reader threads make.

use std::sync::Arc;

use super::codec::{CallError, ChangesQuery, PageQuery};
use super::history;
use super::reader::ReadContext;
use crate::limits::PAST_READS_PER_PAGE;
use crate::model::Revision;
use crate::state::{Published, StateError};
use crate::store::ChangeRange;
use crate::wire::Encoded;

/// A page of the list, as it is or as it was.
pub(crate) fn tasks(
    context: &mut ReadContext,
    published: &Arc<Published>,
    query: &PageQuery,
) -> Result<Encoded, CallError> {
    match query.past(&published.list) {
        None => context.shared.tasks.answer(query, &published.list),
        Some(revision) => past_tasks(context, published, query, revision),
    }
}

fn past_tasks(
    context: &mut ReadContext,
    published: &Published,
    query: &PageQuery,
    revision: Revision,
) -> Result<Encoded, CallError> {
    let Published { list, compacted } = published;
    StateError::unless_kept(revision, *compacted)?;
    StateError::unless_reached(revision, list.revision())?;
    let mut after = query.after(list)?;
    let mut page = query.page();
    for _ in 0..PAST_READS_PER_PAGE {
        let tasks = history::tasks(&mut *context.history, revision, after)?;
        let Some(last) = tasks.last() else {
            return Ok(page.end(list.list_id(), revision, false));
        };
        for task in &tasks {
            if !page.push_task(task) {
                return Ok(page.end(list.list_id(), revision, true));
            }
        }
        after = last.id;
        page.skip_to(after);
    }
    Ok(page.end(list.list_id(), revision, true))
}

/// A page of changes.
pub(crate) fn changes(
    context: &mut ReadContext,
    published: &Arc<Published>,
    query: &ChangesQuery,
) -> Result<Encoded, CallError> {
    let Published { list, compacted } = &**published;
    let (after, complete) = query.after(list, *compacted)?;
    StateError::unless_reached(after, list.revision())?;
    if complete {
        StateError::unless_kept(after, *compacted)?;
        StateError::unless_kept(query.ends_at().unwrap_or(after), *compacted)?;
    }
    let (up_to, max) = (query.up_to(list), query.changes_max());
    let mut kept_after = *compacted;
    let mut range = ChangeRange { after, up_to, task: query.task, complete, max };
    let changes = match history::changes(&mut *context.history, &range) {
        // Compacted since: from the oldest that is kept now.
        Err(CallError::State(StateError::HistoryCompacted { compacted, .. }))
            if query.starts_at_the_oldest() =>
        {
            (range.after, kept_after) = (compacted, compacted);
            history::changes(&mut *context.history, &range)
        }
        read => read,
    }?;
    // A purged task still has its history, until that is compacted.
    if let Some(task) = query.task
        && changes.is_empty()
        && (query.starts_at_the_oldest() || !(1..=list.head().last_id).contains(&task))
    {
        list.get(task)?;
    }
    Ok(Encoded::new(&query.answer(list, kept_after, &changes)))
}
