use super::*;
use crate::model::{Edit, Guard, Mutation, Timestamp, Title};
use crate::wire::proto::{self, GetTasksResponse};

fn change(list: &mut TaskList, mutation: Mutation) {
    list.apply(&mutation, &Guard::default(), Timestamp(list.revision())).unwrap();
}

fn add(list: &mut TaskList, title: &str) {
    change(list, Mutation::Add { title: Title::new(title).unwrap() });
}

fn everything(filter: proto::Filter) -> PageQuery {
    let filter = filter.into();
    PageQuery::new(&proto::GetTasksRequest { filter, ..Default::default() }).unwrap()
}

fn answer(encodings: &mut Encodings, list: &TaskList, filter: proto::Filter) -> GetTasksResponse {
    let answer = encodings.answer(&everything(filter), list).unwrap();
    GetTasksResponse::parse_from_bytes(answer.as_bytes()).unwrap()
}

/// What the answer should be, made without any encoding that was kept.
fn expected(list: &TaskList, filter: proto::Filter) -> GetTasksResponse {
    let shown = convert::filter(filter.into()).unwrap();
    GetTasksResponse {
        tasks: list.after(0).filter(|t| shown.shows(t)).map(|t| convert::task(t)).collect(),
        revision: list.revision(),
        list_id: list.list_id().to_string(),
        ..Default::default()
    }
}

#[test]
fn what_was_encoded_before_is_used_again_and_never_shows_what_was() {
    use proto::Filter::{ANY, COMPLETED, DELETED, LIVE, OPEN};
    let mut encodings = Encodings::default();
    let mut list = TaskList::new("l".into(), [], 1_000_000);
    for step in 0..600 {
        add(&mut list, &format!("task {step}"));
        let id = step / 3 + 1;
        let edit = match step % 4 {
            0 => Edit::Complete,
            1 => Edit::Retitle(Title::new("x".repeat(step as usize % 90 + 1).as_str()).unwrap()),
            2 => Edit::Delete,
            _ => Edit::Restore,
        };
        // Some edits are refused, which changes nothing.
        let _ = list.apply(&Mutation::Edit { id, edit }, &Guard::default(), Timestamp(step.into()));
        let filter = [ANY, LIVE, OPEN, COMPLETED, DELETED][step as usize % 5];
        for filter in [filter, ANY] {
            assert_eq!(answer(&mut encodings, &list, filter), expected(&list, filter), "{step}");
        }
        let bytes: usize = encodings.chunks.values().map(Chunk::cost).sum();
        assert_eq!(encodings.bytes, bytes, "the limit counts what is there");
    }
    let kept = encodings.chunks.len();
    add(&mut list, "the last chunk changes");
    encodings.show(&list);
    assert!(encodings.chunks.len() + Filter::ALL.len() >= kept, "and no other one");
}

#[test]
fn another_list_shares_nothing() {
    let mut encodings = Encodings::default();
    for list_id in ["one", "two"] {
        let mut list = TaskList::new(list_id.into(), [], 10);
        add(&mut list, list_id);
        let shown = answer(&mut encodings, &list, proto::Filter::LIVE);
        assert_eq!((&*shown.list_id, &*shown.tasks[0].title), (list_id, list_id));
    }
}

#[test]
fn the_same_answer_is_made_once() {
    let mut encodings = Encodings::default();
    let mut list = TaskList::new("l".into(), [], 10);
    add(&mut list, "milk");
    let mut answer = |list: &TaskList| {
        let answer = encodings.answer(&everything(proto::Filter::LIVE), list).unwrap();
        answer.as_bytes().as_ptr()
    };
    let first = answer(&list);
    assert_eq!(first, answer(&list));
}
