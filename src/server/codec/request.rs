use std::time::Duration;

use protobuf::EnumOrUnknown;

use crate::limits::{PROGRESS_INTERVAL_MS_MAX, PROGRESS_INTERVAL_MS_MIN};
use crate::model::{
    Edit, Filter, Mutation, Precondition, Rejection, Request, RequestId, Revision, Status,
    TaskFields, TaskId, TaskPatch, Title,
};
use crate::state::{WatchFrom, WatchStart};
use crate::wire::proto;

use super::CallError;

/// What is wrong with a request that the state thread never sees.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("unknown filter {0}: use LIVE (0), OPEN (1), COMPLETED (2), DELETED (3) or ANY (4)")]
    Filter(i32),
    #[error("page_size {0} is negative: use 0 for everything, or the number of tasks on a page")]
    PageSize(i32),
    #[error(
        "the page token does not belong to this list and request: start again with the first page"
    )]
    PageToken,
    #[error("{field} {value} is negative: revisions count from 0")]
    NegativeRevision { field: &'static str, value: Revision },
    #[error(
        "progress_interval_ms {0} is out of range: use {PROGRESS_INTERVAL_MS_MIN} to {PROGRESS_INTERVAL_MS_MAX}, or 0 for none"
    )]
    ProgressInterval(i32),
    #[error("max_updates_per_message {0} is negative: use 0 for one update a message")]
    UpdatesPerMessage(i32),
}

pub(crate) fn add_task(request: proto::AddTaskRequest) -> Result<Request, Rejection> {
    let mutation = Mutation::Add(TaskFields { title: Title::new(&request.title)? });
    self::request(mutation, &request.request_id, None)
}

pub(crate) fn complete_task(request: proto::CompleteTaskRequest) -> Result<Request, Rejection> {
    edit(request.task_id, Edit::Complete, &request.request_id, request.expected_revision)
}

pub(crate) fn reopen_task(request: proto::ReopenTaskRequest) -> Result<Request, Rejection> {
    edit(request.task_id, Edit::Reopen, &request.request_id, request.expected_revision)
}

pub(crate) fn delete_task(request: proto::DeleteTaskRequest) -> Result<Request, Rejection> {
    edit(request.task_id, Edit::Delete, &request.request_id, request.expected_revision)
}

pub(crate) fn restore_task(request: proto::RestoreTaskRequest) -> Result<Request, Rejection> {
    edit(request.task_id, Edit::Restore, &request.request_id, request.expected_revision)
}

pub(crate) fn purge_task(request: proto::PurgeTaskRequest) -> Result<Request, Rejection> {
    edit(request.task_id, Edit::Purge, &request.request_id, request.expected_revision)
}

pub(crate) fn update_task(request: proto::UpdateTaskRequest) -> Result<Request, Rejection> {
    let title = request.title.as_deref().map(Title::new).transpose()?;
    let patch = TaskPatch { title };
    if patch.is_empty() {
        return Err(Rejection::NothingToUpdate);
    }
    edit(request.task_id, Edit::Update(patch), &request.request_id, request.expected_revision)
}

fn edit(
    id: TaskId,
    edit: Edit,
    request_id: &str,
    expected_revision: Option<Revision>,
) -> Result<Request, Rejection> {
    request(Mutation::Edit { id, edit }, request_id, expected_revision)
}

fn request(
    mutation: Mutation,
    request_id: &str,
    expected_revision: Option<Revision>,
) -> Result<Request, Rejection> {
    let precondition = Precondition { expected_revision };
    Ok(Request { mutation, precondition, request_id: RequestId::new(request_id)? })
}

pub(crate) fn filter(filter: EnumOrUnknown<proto::Filter>) -> Result<Filter, RequestError> {
    let status = match filter.enum_value() {
        Ok(proto::Filter::LIVE) => Status::Live,
        Ok(proto::Filter::OPEN) => Status::Open,
        Ok(proto::Filter::COMPLETED) => Status::Completed,
        Ok(proto::Filter::DELETED) => Status::Deleted,
        Ok(proto::Filter::ANY) => Status::Any,
        Err(unknown) => return Err(RequestError::Filter(unknown)),
    };
    Ok(status.into())
}

pub(crate) fn watch_start(request: proto::WatchTasksRequest) -> Result<WatchStart, CallError> {
    let from = match request.after_revision {
        None if request.snapshot => WatchFrom::Snapshot,
        None => WatchFrom::Now,
        Some(after) => WatchFrom::After {
            revision: revision("after_revision", after)?,
            list_id: request.list_id,
            else_snapshot: request.snapshot,
        },
    };
    let progress = progress_interval(request.progress_interval_ms)?;
    Ok(WatchStart { filter: filter(request.filter)?, from, progress })
}

/// The time without updates after which a PROGRESS is due.
fn progress_interval(ms: i32) -> Result<Option<Duration>, RequestError> {
    match u64::try_from(ms) {
        Ok(0) => Ok(None),
        Ok(positive) if (PROGRESS_INTERVAL_MS_MIN..=PROGRESS_INTERVAL_MS_MAX).contains(&ms) => {
            Ok(Some(Duration::from_millis(positive)))
        }
        _ => Err(RequestError::ProgressInterval(ms)),
    }
}

/// A revision in a request.
pub(crate) fn revision(field: &'static str, value: i64) -> Result<Revision, RequestError> {
    match value {
        0.. => Ok(value),
        _ => Err(RequestError::NegativeRevision { field, value }),
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
