use protobuf::Message;

use super::token::{self, token};
use super::{RequestError, request, update_batch};
use crate::limits::{HISTORY_READ_MAX, PAGE_BYTES_MAX};
use crate::model::{Revision, TaskId, TaskList};
use crate::store::RecordedChange;
use crate::wire::proto;

/// Bytes that a repeated message field adds to each change: the tag, and the length of
/// a change below 2 MiB.
const FIELD_BYTES: usize = 4;

/// A checked request for a page of changes.
#[derive(Debug, PartialEq)]
pub(crate) struct ChangesQuery {
    /// Only of this task.
    pub(crate) task: Option<TaskId>,
    after: Option<Revision>,
    up_to: Option<Revision>,
    changes_max: usize,
    from: Option<PageStart>,
}

/// Where a page ended: the content of a token.
#[derive(Debug, PartialEq)]
struct PageStart {
    list_id: String,
    after: Revision,
}

impl ChangesQuery {
    pub(crate) fn new(request: &proto::ListChangesRequest) -> Result<ChangesQuery, RequestError> {
        let changes_max = match usize::try_from(request.page_size) {
            Ok(0) => HISTORY_READ_MAX,
            Ok(size) => size.min(HISTORY_READ_MAX),
            Err(_) => return Err(RequestError::PageSize(request.page_size)),
        };
        let revision = |field, value: Option<i64>| {
            value.map(|value| request::revision(field, value)).transpose()
        };
        let mut query = ChangesQuery {
            task: request.task_id,
            after: revision("after_revision", request.after_revision)?,
            up_to: revision("up_to_revision", request.up_to_revision)?,
            changes_max,
            from: None,
        };
        if !request.page_token.is_empty() {
            let start = token::parse(&request.page_token, &query.name());
            let (list_id, after) = start.ok_or(RequestError::PageToken)?;
            query.from = Some(PageStart { list_id, after });
        }
        Ok(query)
    }

    /// What all pages of a listing have in common.
    fn name(&self) -> String {
        format!("{:?}-{:?}-{:?}", self.task, self.after, self.up_to)
    }

    /// The revision after which the page starts, and whether all changes from there on
    /// have to be kept.
    pub(crate) fn after(
        &self,
        list: &TaskList,
        compacted: Revision,
    ) -> Result<(Revision, bool), RequestError> {
        // For one task, the page also lists what is left of its older changes.
        let oldest = if self.task.is_some() { 0 } else { compacted };
        let complete = self.task.is_none() || self.after.is_some();
        match &self.from {
            Some(start) if *start.list_id != **list.list_id() => Err(RequestError::PageToken),
            Some(start) => Ok((start.after, complete)),
            None => Ok((self.after.unwrap_or(oldest), complete)),
        }
    }

    /// Whether the page starts at the oldest change that is kept.
    pub(crate) fn starts_at_the_oldest(&self) -> bool {
        self.after.is_none() && self.from.is_none()
    }

    /// The last revision that the request names, if it names one.
    pub(crate) fn ends_at(&self) -> Option<Revision> {
        self.up_to
    }

    /// The last revision to list.
    pub(crate) fn up_to(&self, list: &TaskList) -> Revision {
        self.up_to.unwrap_or(Revision::MAX).min(list.revision())
    }

    /// Changes on the page, at most.
    pub(crate) fn changes_max(&self) -> usize {
        self.changes_max
    }

    /// The page of these changes. It is not the last one if there are
    /// [`ChangesQuery::changes_max`] of them, or if they do not fit.
    pub(crate) fn answer(
        &self,
        list: &TaskList,
        compacted: Revision,
        changes: &[RecordedChange],
    ) -> proto::ListChangesResponse {
        let mut response = proto::ListChangesResponse {
            revision: list.revision(),
            list_id: list.list_id().to_string(),
            compacted_revision: compacted,
            ..Default::default()
        };
        let mut bytes = 0;
        for change in changes {
            let update = update_batch::update(change);
            bytes += update.compute_size() as usize + FIELD_BYTES;
            if bytes > PAGE_BYTES_MAX && !response.changes.is_empty() {
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
