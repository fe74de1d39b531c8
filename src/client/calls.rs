use std::iter;

use protobuf::MessageField;

use super::{CallError, Client, Code, example, proto};
use crate::limits::{CLIENT_PAGE_CHANGES, CLIENT_PAGE_TASKS};
use crate::wire::methods;

/// A change of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    Complete,
    Reopen,
    Delete,
    Restore,
    /// Removes a deleted task for good. The result has the id and the revision only.
    Purge,
    Retitle(String),
}

/// A task after an edit.
#[derive(Debug, Clone, PartialEq)]
pub struct Edited {
    pub task: proto::Task,
    /// The task already was as requested, so nothing changed. False also if the server does
    /// not tell.
    pub is_noop: bool,
}

/// Which changes to list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChangesQuery {
    /// `None`: the changes of all tasks.
    pub task_id: Option<i32>,
    /// Changes with a greater revision; `None`: from the oldest that is kept.
    pub after_revision: Option<i64>,
    /// Changes up to this revision; `None`: up to the newest.
    pub up_to_revision: Option<i64>,
}

impl Client {
    /// Adds a task and returns it.
    pub fn add(&self, title: &str) -> Result<proto::Task, CallError> {
        self.task_of(self.mutate(&methods::ADD_TASK, &self.add_request(title))?.task)
    }

    pub(super) fn add_request(&self, title: &str) -> proto::AddTaskRequest {
        let (title, request_id) = (title.to_owned(), self.request_id());
        proto::AddTaskRequest { title, request_id, ..Default::default() }
    }

    /// Edits a task. Returns the task after the edit.
    pub fn edit(&self, task_id: i32, edit: Edit) -> Result<proto::Task, CallError> {
        self.edit_as(self.request_id(), task_id, edit)
    }

    /// Edits a task, and finds out whether that changed it.
    pub fn edit_noticing_noop(&self, task_id: i32, edit: Edit) -> Result<Edited, CallError> {
        let request_id = self.request_id();
        // A purge is never a no-op, and its change keeps no content to compare.
        let is_purge = edit == Edit::Purge;
        let task = self.edit_as(request_id.clone(), task_id, edit)?;
        let is_noop = !is_purge && example::is_of_todod(&task) && self.is_older(&task, &request_id);
        Ok(Edited { task, is_noop })
    }

    /// Whether another request made the newest change of the task. An answer does not say so,
    /// but the history does: each change has its request id.
    fn is_older(&self, task: &proto::Task, request_id: &str) -> bool {
        let query = ChangesQuery {
            task_id: Some(task.id),
            after_revision: Some(task.revision - 1),
            up_to_revision: Some(task.revision),
        };
        let page = match self.changes(query).next() {
            // Of the compacted changes, the newest one of each task is kept, and a listing
            // without a start has it.
            Some(Err(e)) if e.code == Code::OutOfRange => {
                self.changes(ChangesQuery { after_revision: None, ..query }).next()
            }
            page => page,
        };
        let changes = page.and_then(Result::ok).unwrap_or_default();
        let newest = changes.iter().find(|change| change.revision == task.revision);
        // A change without a time lost its content in a purge since then.
        newest.is_some_and(|change| {
            change.request_id != request_id && change.task.updated_at.is_some()
        })
    }

    fn edit_as(
        &self,
        request_id: String,
        task_id: i32,
        edit: Edit,
    ) -> Result<proto::Task, CallError> {
        let task = match edit {
            Edit::Complete => {
                let request =
                    proto::CompleteTaskRequest { task_id, request_id, ..Default::default() };
                let task = self.mutate(&methods::COMPLETE_TASK, &request)?.task.into_option();
                return Ok(task.unwrap_or_else(|| example::completed_task(self, task_id)));
            }
            Edit::Reopen => {
                let request =
                    proto::ReopenTaskRequest { task_id, request_id, ..Default::default() };
                self.mutate(&methods::REOPEN_TASK, &request)?.task
            }
            Edit::Delete => {
                let request =
                    proto::DeleteTaskRequest { task_id, request_id, ..Default::default() };
                self.mutate(&methods::DELETE_TASK, &request)?.task
            }
            Edit::Restore => {
                let request =
                    proto::RestoreTaskRequest { task_id, request_id, ..Default::default() };
                self.mutate(&methods::RESTORE_TASK, &request)?.task
            }
            Edit::Purge => {
                let request = proto::PurgeTaskRequest { task_id, request_id, ..Default::default() };
                self.mutate(&methods::PURGE_TASK, &request)?.task
            }
            Edit::Retitle(title) => {
                let title = Some(title);
                let request =
                    proto::UpdateTaskRequest { task_id, title, request_id, ..Default::default() };
                self.mutate(&methods::UPDATE_TASK, &request)?.task
            }
        };
        self.task_of(task)
    }

    /// Returns one task, deleted or not.
    pub fn get(&self, task_id: i32) -> Result<proto::Task, CallError> {
        let request = proto::GetTaskRequest { task_id, ..Default::default() };
        self.task_of(self.call(&methods::GET_TASK, &request)?.task)
    }

    /// Returns the tasks that match, in id order. Each page is fetched when it is asked
    /// for; the first error is the last item.
    pub fn pages(
        &self,
        filter: proto::Filter,
    ) -> impl Iterator<Item = Result<Vec<proto::Task>, CallError>> {
        self.pages_at(filter, None)
    }

    /// The same, of the list as it was at a revision.
    pub fn pages_at(
        &self,
        filter: proto::Filter,
        at_revision: Option<i64>,
    ) -> impl Iterator<Item = Result<Vec<proto::Task>, CallError>> {
        paged(move |page_token| {
            let request = proto::GetTasksRequest {
                filter: filter.into(),
                page_size: CLIENT_PAGE_TASKS,
                page_token,
                at_revision,
                ..Default::default()
            };
            let mut page = self.call(&methods::GET_TASKS, &request)?;
            example::filter_page(self, &request, &mut page)?;
            Ok((page.tasks, page.next_page_token))
        })
    }

    /// Returns the changes that were made, in revision order. Each page is fetched when it
    /// is asked for; the first error is the last item.
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
            let page = self.call(&methods::LIST_CHANGES, &request)?;
            Ok((page.changes, page.next_page_token))
        })
    }

    pub(super) fn task_of(
        &self,
        task: MessageField<proto::Task>,
    ) -> Result<proto::Task, CallError> {
        let missing = || format!("{} sent an answer without its task", self.server());
        task.into_option().ok_or_else(|| CallError::new(Code::Internal, missing()))
    }
}

/// Iterates over pages. `fetch` takes a page token, and returns the page and the token of
/// the next one, which is empty after the last page.
fn paged<T>(
    mut fetch: impl FnMut(String) -> Result<(T, String), CallError>,
) -> impl Iterator<Item = Result<T, CallError>> {
    let mut next = Some(String::new());
    iter::from_fn(move || match fetch(next.take()?) {
        Ok((page, token)) => {
            next = Some(token).filter(|token| !token.is_empty());
            Some(Ok(page))
        }
        Err(e) => Some(Err(e)),
    })
}
