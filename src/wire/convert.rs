use std::time::Duration;

use protobuf::{EnumOrUnknown, MessageField, well_known_types};

use super::proto;
use crate::limits::{PROGRESS_INTERVAL_MS_MAX, PROGRESS_INTERVAL_MS_MIN};
use crate::model::{
    Change, Edit, Filter, Guard, Mutation, Rejection, RequestId, Revision, Task, TaskId, Timestamp,
    Title,
};

const MICROS_PER_SECOND: i64 = 1_000_000;

pub fn add_task(request: proto::AddTaskRequest) -> Result<(Mutation, Guard), Rejection> {
    let title = Title::new(&request.title)?;
    Ok((Mutation::Add { title }, guard(&request.request_id, None)?))
}

pub fn complete_task(request: proto::CompleteTaskRequest) -> Result<(Mutation, Guard), Rejection> {
    edit(request.task_id, Edit::Complete, &request.request_id, request.expected_revision)
}

pub fn reopen_task(request: proto::ReopenTaskRequest) -> Result<(Mutation, Guard), Rejection> {
    edit(request.task_id, Edit::Reopen, &request.request_id, request.expected_revision)
}

pub fn delete_task(request: proto::DeleteTaskRequest) -> Result<(Mutation, Guard), Rejection> {
    edit(request.task_id, Edit::Delete, &request.request_id, request.expected_revision)
}

pub fn restore_task(request: proto::RestoreTaskRequest) -> Result<(Mutation, Guard), Rejection> {
    edit(request.task_id, Edit::Restore, &request.request_id, request.expected_revision)
}

pub fn update_task(request: proto::UpdateTaskRequest) -> Result<(Mutation, Guard), Rejection> {
    let title = request.title.as_deref().ok_or(Rejection::NothingToUpdate)?;
    let retitle = Edit::Retitle(Title::new(title)?);
    edit(request.task_id, retitle, &request.request_id, request.expected_revision)
}

fn edit(
    id: TaskId,
    edit: Edit,
    request_id: &str,
    expected_revision: Option<Revision>,
) -> Result<(Mutation, Guard), Rejection> {
    Ok((Mutation::Edit { id, edit }, guard(request_id, expected_revision)?))
}

fn guard(request_id: &str, expected_revision: Option<Revision>) -> Result<Guard, Rejection> {
    Ok(Guard { request_id: RequestId::new(request_id)?, expected_revision })
}

pub fn filter(filter: EnumOrUnknown<proto::Filter>) -> Result<Filter, Rejection> {
    match filter.enum_value() {
        Ok(proto::Filter::LIVE) => Ok(Filter::Live),
        Ok(proto::Filter::OPEN) => Ok(Filter::Open),
        Ok(proto::Filter::COMPLETED) => Ok(Filter::Completed),
        Ok(proto::Filter::DELETED) => Ok(Filter::Deleted),
        Ok(proto::Filter::ANY) => Ok(Filter::Any),
        Err(unknown) => Err(Rejection::Filter(unknown)),
    }
}

pub fn task(task: &Task) -> proto::Task {
    proto::Task {
        id: task.id,
        title: task.title.to_string(),
        completed: task.completed(),
        revision: task.revision,
        created_at: MessageField::some(timestamp(task.created_at)),
        updated_at: MessageField::some(timestamp(task.updated_at)),
        completed_at: task.completed_at.map(timestamp).into(),
        deleted: task.deleted,
        ..Default::default()
    }
}

fn timestamp(at: Timestamp) -> well_known_types::timestamp::Timestamp {
    well_known_types::timestamp::Timestamp {
        seconds: at.0.div_euclid(MICROS_PER_SECOND),
        nanos: (at.0.rem_euclid(MICROS_PER_SECOND) * 1_000) as i32,
        ..Default::default()
    }
}

/// What every watcher that the change concerns is sent.
pub fn update(change: &Change) -> proto::TaskUpdate {
    proto::TaskUpdate {
        task: MessageField::some(task(&change.task)),
        action: change.action.name().to_owned(),
        revision: change.revision(),
        request_id: change.request_id.as_ref().map_or("", RequestId::as_str).to_owned(),
        ..Default::default()
    }
}

/// The mark that a snapshot follows.
pub fn reset() -> proto::TaskUpdate {
    proto::TaskUpdate { action: "RESET".to_owned(), ..Default::default() }
}

/// One task of a snapshot. Without a revision of its own: it is no place to resume from.
pub fn snapshot_update(of: &Task) -> proto::TaskUpdate {
    proto::TaskUpdate {
        task: MessageField::some(task(of)),
        action: "SNAPSHOT".to_owned(),
        ..Default::default()
    }
}

/// The mark that everything up to this revision of the list was sent.
pub fn synced(list_id: &str, revision: Revision) -> proto::TaskUpdate {
    proto::TaskUpdate {
        action: "SYNCED".to_owned(),
        revision,
        list_id: list_id.to_owned(),
        ..Default::default()
    }
}

/// The mark that everything up to this revision was sent, after a time without updates.
pub fn progress(revision: Revision) -> proto::TaskUpdate {
    proto::TaskUpdate { action: "PROGRESS".to_owned(), revision, ..Default::default() }
}

/// The wait without updates after which a PROGRESS is due.
pub fn progress_interval(ms: i32) -> Result<Option<Duration>, Rejection> {
    match u64::try_from(ms) {
        Ok(0) => Ok(None),
        Ok(positive) if (PROGRESS_INTERVAL_MS_MIN..=PROGRESS_INTERVAL_MS_MAX).contains(&ms) => {
            Ok(Some(Duration::from_millis(positive)))
        }
        _ => Err(Rejection::ProgressInterval(ms)),
    }
}

/// A revision that a request names.
pub fn revision(field: &'static str, value: i64) -> Result<Revision, Rejection> {
    match value {
        0.. => Ok(value),
        _ => Err(Rejection::NegativeRevision { field, value }),
    }
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
