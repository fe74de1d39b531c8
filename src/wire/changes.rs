use protobuf::Message;

use super::token::{self, token};
use super::{convert, proto};
use crate::limits::{HISTORY_READ_MAX, PAGE_BYTES_MAX};
use crate::model::{Change, Rejection, Revision, TaskId, TaskList};

/// Bytes that a repeated message field adds to each change: the tag, and the length of
/// a change below 2 MiB.
const FIELD_BYTES: usize = 4;

/// A checked request for a page of changes.
#[derive(Debug, PartialEq)]
pub struct ChangesQuery {
    /// Only of this task.
    pub task: Option<TaskId>,
    after: Option<Revision>,
    up_to: Option<Revision>,
    changes_max: usize,
    from: Option<Place>,
}

/// Where a page ended: what a token holds.
#[derive(Debug, PartialEq)]
struct Place {
    list_id: String,
    after: Revision,
}

impl ChangesQuery {
    pub fn new(request: &proto::ListChangesRequest) -> Result<ChangesQuery, Rejection> {
        let changes_max = match usize::try_from(request.page_size) {
            Ok(0) => HISTORY_READ_MAX,
            Ok(size) => size.min(HISTORY_READ_MAX),
            Err(_) => return Err(Rejection::PageSize(request.page_size)),
        };
        let revision = |field, value: Option<i64>| {
            value.map(|value| convert::revision(field, value)).transpose()
        };
        let mut query = ChangesQuery {
            task: request.task_id,
            after: revision("after_revision", request.after_revision)?,
            up_to: revision("up_to_revision", request.up_to_revision)?,
            changes_max,
            from: None,
        };
        if !request.page_token.is_empty() {
            let place = token::place(&request.page_token, &query.name());
            let (list_id, after) = place.ok_or(Rejection::PageToken)?;
            query.from = Some(Place { list_id, after });
        }
        Ok(query)
    }

    /// What all pages of a listing have in common.
    fn name(&self) -> String {
        format!("{:?}-{:?}-{:?}", self.task, self.after, self.up_to)
    }

    /// The revision that the page begins after, and whether all changes from there on
    /// have to be kept.
    pub fn after(
        &self,
        list: &TaskList,
        compacted: Revision,
    ) -> Result<(Revision, bool), Rejection> {
        // Of one task, what is left of its older changes is still worth seeing.
        let oldest = if self.task.is_some() { 0 } else { compacted };
        let complete = self.task.is_none() || self.after.is_some();
        match &self.from {
            Some(place) if *place.list_id != **list.list_id() => Err(Rejection::PageToken),
            Some(place) => Ok((place.after, complete)),
            None => Ok((self.after.unwrap_or(oldest), complete)),
        }
    }

    /// Whether the page begins wherever history does.
    pub fn begins_at_the_oldest(&self) -> bool {
        self.after.is_none() && self.from.is_none()
    }

    /// The revision that the request names as the last, if it does.
    pub fn ends_at(&self) -> Option<Revision> {
        self.up_to
    }

    /// The last revision to list.
    pub fn up_to(&self, list: &TaskList) -> Revision {
        self.up_to.unwrap_or(Revision::MAX).min(list.revision())
    }

    /// Changes on the page, at most.
    pub fn changes_max(&self) -> usize {
        self.changes_max
    }

    /// The page of these changes, of which there are more if there are
    /// [`ChangesQuery::changes_max`] of them.
    pub fn answer(
        &self,
        list: &TaskList,
        compacted: Revision,
        changes: &[Change],
    ) -> proto::ListChangesResponse {
        let mut response = proto::ListChangesResponse {
            revision: list.revision(),
            list_id: list.list_id().to_string(),
            compacted_revision: compacted,
            ..Default::default()
        };
        let mut bytes = 0;
        for change in changes {
            let update = convert::update(change);
            bytes += update.compute_size() as usize + FIELD_BYTES;
            if bytes > PAGE_BYTES_MAX {
                break;
            }
            response.changes.push(update);
        }
        let ends_early = response.changes.len() < changes.len();
        if (ends_early || changes.len() == self.changes_max)
            && let Some(last) = response.changes.last()
        {
            response.next_page_token = token(list.list_id(), &self.name(), last.revision);
        }
        response
    }
}
