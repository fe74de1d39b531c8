use protobuf::Message;

use super::*;
use crate::model::{Edit, Head, Mutation, Status, TaskFields, TaskPatch, Timestamp, Title};
use crate::server::codec::request;
use crate::wire::proto::{self, GetTasksResponse};

fn change(list: &mut TaskList, mutation: Mutation) {
    list.apply(&mutation.into(), Timestamp(list.revision())).unwrap();
}

fn empty(list_id: &str) -> TaskList {
    TaskList::new(list_id.into(), [], Head::default(), 1_000_000)
}

fn add(list: &mut TaskList, title: &str) {
    change(list, Mutation::Add(TaskFields { title: Title::new(title).unwrap() }));
}

fn everything(filter: proto::Filter) -> PageQuery {
    let filter = filter.into();
    PageQuery::new(&proto::GetTasksRequest { filter, ..Default::default() }).unwrap()
}

fn answer(cache: &TaskEncodingCache, list: &TaskList, filter: proto::Filter) -> GetTasksResponse {
    let answer = cache.answer(&everything(filter), list).unwrap();
    GetTasksResponse::parse_from_bytes(answer.as_bytes()).unwrap()
}

/// The answer as it should be, made without the cache.
fn expected(list: &TaskList, filter: proto::Filter) -> GetTasksResponse {
    let filter = request::filter(filter.into()).unwrap();
    let tasks = list.after(0).filter(|task| filter.matches(task));
    GetTasksResponse {
        tasks: tasks.map(|task| record::to_message(task)).collect(),
        revision: list.revision(),
        list_id: list.list_id().to_string(),
        ..Default::default()
    }
}

#[test]
fn cached_tasks_are_reused_and_never_stale() {
    use proto::Filter::{ANY, COMPLETED, DELETED, LIVE, OPEN};
    let cache = TaskEncodingCache::default();
    let mut list = empty("l");
    for step in 0..600 {
        let older = list.clone();
        add(&mut list, &format!("task {step}"));
        let id = step / 3 + 1;
        let title = || Title::new("x".repeat(step as usize % 90 + 1).as_str()).unwrap();
        let edit = match step % 5 {
            0 => Edit::Complete,
            1 => Edit::Update(TaskPatch { title: Some(title()) }),
            2 => Edit::Delete,
            3 => Edit::Purge,
            _ => Edit::Restore,
        };
        // Some edits are refused, which changes nothing.
        let _ = list.apply(&Mutation::Edit { id, edit }.into(), Timestamp(step.into()));
        let filter = [ANY, LIVE, OPEN, COMPLETED, DELETED][step as usize % 5];
        // The older version after the newer one: another thread still lists it.
        for (list, filter) in [(&list, filter), (&list, ANY), (&older, filter), (&older, ANY)] {
            assert_eq!(answer(&cache, list, filter), expected(list, filter), "{step}");
        }
        let chunks = cache.0.lock();
        let bytes: usize = chunks.by_index.values().flatten().map(|(_, c)| c.cost()).sum();
        assert_eq!(chunks.bytes, bytes, "the limit counts what is there");
    }
    let kept = cache.0.lock().by_index.len();
    add(&mut list, "the last chunk changes");
    let _ = cache.0.lock().show(&list, &everything(LIVE));
    assert!(cache.0.lock().by_index.len() + 1 >= kept, "no other chunk is dropped");
    assert_eq!(Status::ALL.len(), 5, "every filter was tried");
}

#[test]
fn another_list_shares_nothing() {
    let cache = TaskEncodingCache::default();
    for list_id in ["one", "two"] {
        let mut list = empty(list_id);
        add(&mut list, list_id);
        let shown = answer(&cache, &list, proto::Filter::LIVE);
        assert_eq!((&*shown.list_id, &*shown.tasks[0].title), (list_id, list_id));
    }
}

#[test]
fn an_answer_that_is_repeated_is_made_once() {
    let cache = TaskEncodingCache::default();
    let mut list = empty("l");
    add(&mut list, "milk");
    let answer = |list: &TaskList| {
        let answer = cache.answer(&everything(proto::Filter::LIVE), list).unwrap();
        answer.as_bytes().as_ptr()
    };
    let first = answer(&list);
    assert_eq!(first, answer(&list));
}
