//! Everything that exists only because the reference example's server must work, too. It
//! has AddTask, GetTasks, CompleteTask and WatchTasks, of which it ignores every field that
//! the example does not have. It has no revisions, request ids, filters or deleted tasks.

use super::{CallError, Client, Code, Position, WatchStart, proto};

/// Reports that a call needs `todod`, because the server `lacks` something.
pub(super) fn needs_todod(server: &str, lacks: &str) -> CallError {
    let message = format!("the server at {server} {lacks}: use todod");
    CallError::new(Code::Unimplemented, message)
}

/// Returns the position of a listing, if `todod` answered it.
pub(super) fn position_of(page: proto::GetTasksResponse) -> Option<Position> {
    let position = Position { list_id: page.list_id, revision: page.revision };
    Some(position).filter(|position| !position.list_id.is_empty())
}

/// Finds out which server a watch is about to call, and completes the watch's position.
/// Returns whether it is `todod`: the example's server would not answer before something
/// happens.
pub(super) async fn locate(
    client: &Client,
    start: &WatchStart,
    position: &mut Option<Position>,
) -> Result<bool, CallError> {
    if client.needs_todod && *start != WatchStart::Now {
        return Ok(true);
    }
    match (client.probe(client.call_option()).await?, start) {
        (Some(here), WatchStart::Now) => {
            position.get_or_insert(here);
            Ok(true)
        }
        (Some(here), _) => {
            if let Some(position) = position.as_mut().filter(|known| known.list_id.is_empty()) {
                position.list_id = here.list_id;
            }
            Ok(true)
        }
        (None, WatchStart::Snapshot) => {
            *position = None;
            Ok(false)
        }
        (None, WatchStart::Now) if position.is_none() => Ok(false),
        (None, _) => Err(needs_todod(client.server(), "keeps no history")),
    }
}

/// Does for one answer of GetTasks what the example's server does not do.
pub(super) fn filter_page(
    client: &Client,
    request: &proto::GetTasksRequest,
    page: &mut proto::GetTasksResponse,
) -> Result<(), CallError> {
    if !page.list_id.is_empty() {
        return Ok(());
    }
    if request.at_revision.is_some() {
        return Err(needs_todod(client.server(), "keeps no history"));
    }
    match request.filter.enum_value_or_default() {
        proto::Filter::DELETED => {
            return Err(needs_todod(client.server(), "keeps no deleted tasks"));
        }
        proto::Filter::OPEN => page.tasks.retain(|task| !task.completed),
        proto::Filter::COMPLETED => page.tasks.retain(|task| task.completed),
        proto::Filter::LIVE | proto::Filter::ANY => {}
    }
    Ok(())
}

/// Looks up a task that the example's server completed without returning it. The edit
/// succeeded even if the task is not found.
pub(super) fn completed_task(client: &Client, id: i32) -> proto::Task {
    let mut pages = client.pages(proto::Filter::ANY).map_while(Result::ok);
    pages
        .find_map(|tasks| tasks.into_iter().find(|task| task.id == id))
        .unwrap_or_else(|| proto::Task { id, completed: true, ..Default::default() })
}

/// Whether `todod` answered with this task. The example's server may execute the calls of
/// one client in any order.
pub(super) fn is_of_todod(task: &proto::Task) -> bool {
    task.revision > 0
}
