use super::tasks::paged;
use super::{CallError, Client, proto};
use crate::limits::CLIENT_PAGE_CHANGES;
use crate::wire::methods::LIST_CHANGES;

/// Which changes to list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChangesQuery {
    /// `None`: of all tasks.
    pub task_id: Option<i32>,
    /// Those with a greater revision; `None`: from the oldest that is kept.
    pub after_revision: Option<i64>,
    /// Those up to it; `None`: up to the newest.
    pub up_to_revision: Option<i64>,
}

impl Client {
    /// The changes that were made, page by page, in revision order; each is fetched when
    /// asked for, and the first error is the last item.
    pub fn changes(
        &self,
        query: ChangesQuery,
    ) -> impl Iterator<Item = Result<Vec<proto::TaskUpdate>, CallError>> {
        paged(move |page_token| {
            let request = proto::ListChangesRequest {
                task_id: query.task_id,
                after_revision: query.after_revision,
                up_to_revision: query.up_to_revision,
                page_size: CLIENT_PAGE_CHANGES,
                page_token,
                ..Default::default()
            };
            let page = self.call(&LIST_CHANGES, &request)?;
            Ok((page.changes, page.next_page_token))
        })
    }
}
