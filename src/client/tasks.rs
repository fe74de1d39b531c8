use std::iter;

use grpcio::Method;
use protobuf::MessageField;

use super::{CallError, Client, Code, proto};
use crate::limits::CLIENT_PAGE_TASKS;
use crate::wire::methods;

/// A change of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    Complete,
    Reopen,
    Delete,
    Restore,
    Retitle(String),
}

impl Client {
    pub fn add(&self, title: &str) -> Result<proto::Task, CallError> {
        let request = proto::AddTaskRequest {
            title: title.to_owned(),
            request_id: self.request_id(),
            ..Default::default()
        };
        self.task_of(&methods::ADD_TASK, self.mutate(&methods::ADD_TASK, &request)?.task)
    }

    /// Returns the task after the edit; `None` from the seed's server, which does not
    /// tell.
    pub fn edit(&self, task_id: i32, edit: Edit) -> Result<Option<proto::Task>, CallError> {
        let request_id = self.request_id();
        let task = match edit {
            Edit::Complete => {
                let request =
                    proto::CompleteTaskRequest { task_id, request_id, ..Default::default() };
                return Ok(self.mutate(&methods::COMPLETE_TASK, &request)?.task.into_option());
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
            Edit::Retitle(title) => {
                let title = Some(title);
                let request =
                    proto::UpdateTaskRequest { task_id, title, request_id, ..Default::default() };
                self.mutate(&methods::UPDATE_TASK, &request)?.task
            }
        };
        Ok(task.into_option())
    }

    /// One task, deleted or not.
    pub fn get(&self, task_id: i32) -> Result<proto::Task, CallError> {
        let request = proto::GetTaskRequest { task_id, ..Default::default() };
        self.task_of(&methods::GET_TASK, self.call(&methods::GET_TASK, &request)?.task)
    }

    /// The tasks that match, page by page, in id order; each is fetched when asked for,
    /// and the first error is the last item. The seed's server knows no filters, so
    /// what it sends is filtered here; it keeps no deleted tasks.
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
        paged(move |page_token| self.page(filter, at_revision, page_token))
    }

    /// One page, and the token of the next one; empty after the last.
    fn page(
        &self,
        filter: proto::Filter,
        at_revision: Option<i64>,
        page_token: String,
    ) -> Result<(Vec<proto::Task>, String), CallError> {
        let request = proto::GetTasksRequest {
            filter: filter.into(),
            page_size: CLIENT_PAGE_TASKS,
            page_token,
            at_revision,
            ..Default::default()
        };
        let mut answer = self.call(&methods::GET_TASKS, &request)?;
        if answer.list_id.is_empty() {
            if at_revision.is_some() {
                return Err(CallError::needs_todod(self.server(), "keeps no history"));
            }
            if filter == proto::Filter::DELETED {
                return Err(CallError::needs_todod(self.server(), "keeps no deleted tasks"));
            }
            answer.tasks.retain(|task| match filter {
                proto::Filter::OPEN => !task.completed,
                proto::Filter::COMPLETED => task.completed,
                proto::Filter::LIVE | proto::Filter::ANY | proto::Filter::DELETED => true,
            });
        }
        Ok((answer.tasks, answer.next_page_token))
    }

    fn task_of<Req, Resp>(
        &self,
        method: &Method<Req, Resp>,
        task: MessageField<proto::Task>,
    ) -> Result<proto::Task, CallError> {
        let missing = || format!("{} answered {} without a task", self.server(), method.name);
        task.into_option().ok_or_else(|| CallError::new(Code::Internal, missing()))
    }
}

/// Page after page: `fetch` takes a page's token, and gives back the page and the token
/// of the next one, which is empty after the last.
pub(super) fn paged<T>(
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
