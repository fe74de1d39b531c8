use std::sync::Arc;

use super::*;
use crate::model::{Action, RequestIdError, TitleError};

fn title(text: &str) -> Title {
    Title::new(text).unwrap()
}

fn guarded(request_id: &str, expected_revision: Option<Revision>) -> Guard {
    Guard { request_id: RequestId::new(request_id).unwrap(), expected_revision }
}

/// A task that was added 1.5 s before the epoch and changed 2.000003 s after it.
fn open_task() -> Task {
    Task {
        id: 7,
        title: title("Buy milk"),
        deleted: false,
        revision: 9,
        created_at: Timestamp(-1_500_000),
        updated_at: Timestamp(2_000_003),
        completed_at: None,
    }
}

fn seconds_and_nanos(
    at: &MessageField<well_known_types::timestamp::Timestamp>,
) -> Option<(i64, i32)> {
    at.as_ref().map(|at| (at.seconds, at.nanos))
}

#[test]
fn a_request_to_add() {
    let request = |title: &str, request_id: &str| proto::AddTaskRequest {
        title: title.to_owned(),
        request_id: request_id.to_owned(),
        ..Default::default()
    };
    let add = Mutation::Add { title: title("Buy milk") };
    assert_eq!(add_task(request(" Buy milk ", "")), Ok((add.clone(), Guard::default())));
    assert_eq!(add_task(request("Buy milk", "r-1")), Ok((add, guarded("r-1", None))));
    assert_eq!(add_task(request("", "r-1")), Err(TitleError::Empty.into()));
    let space = RequestIdError::NotVisibleAscii { character: ' ', position: 2 };
    assert_eq!(add_task(request("Buy milk", "r 1")), Err(space.into()));
}

/// Requests that say only which task: all have the same fields.
macro_rules! edit_requests {
    ($($convert:ident, $request:ident, $edit:expr;)*) => {$(
        #[test]
        fn $convert() {
            let request = |request_id: &str, expected_revision| proto::$request {
                task_id: 7,
                request_id: request_id.to_owned(),
                expected_revision,
                ..Default::default()
            };
            let mutation = Mutation::Edit { id: 7, edit: $edit };
            for (request_id, expected) in [("", None), ("r-1", Some(0)), ("", Some(5))] {
                let converted = super::$convert(request(request_id, expected));
                assert_eq!(converted, Ok((mutation.clone(), guarded(request_id, expected))));
            }
            let refused = super::$convert(request("é", None));
            assert!(matches!(refused, Err(Rejection::RequestId(_))), "{refused:?}");
        }
    )*};
}

mod a_request_to {
    use super::*;

    edit_requests! {
        complete_task, CompleteTaskRequest, Edit::Complete;
        reopen_task, ReopenTaskRequest, Edit::Reopen;
        delete_task, DeleteTaskRequest, Edit::Delete;
        restore_task, RestoreTaskRequest, Edit::Restore;
    }
}

#[test]
fn a_request_to_update() {
    let request = |title: Option<&str>| proto::UpdateTaskRequest {
        task_id: 7,
        title: title.map(str::to_owned),
        request_id: "r-1".to_owned(),
        expected_revision: Some(5),
        ..Default::default()
    };
    let retitle = Mutation::Edit { id: 7, edit: Edit::Retitle(title("Buy bread")) };
    assert_eq!(update_task(request(Some(" Buy bread"))), Ok((retitle, guarded("r-1", Some(5)))));
    assert_eq!(update_task(request(None)), Err(Rejection::NothingToUpdate));
    assert_eq!(update_task(request(Some(""))), Err(TitleError::Empty.into()));
}

#[test]
fn filters() {
    for (number, converted) in [
        (0, Ok(Filter::Live)),
        (1, Ok(Filter::Open)),
        (2, Ok(Filter::Completed)),
        (3, Ok(Filter::Deleted)),
        (4, Ok(Filter::Any)),
        (5, Err(Rejection::Filter(5))),
        (-1, Err(Rejection::Filter(-1))),
    ] {
        assert_eq!(filter(EnumOrUnknown::from_i32(number)), converted);
    }
}

#[test]
fn a_task_on_the_wire() {
    let open = task(&open_task());
    assert_eq!((open.id, &*open.title, open.revision), (7, "Buy milk", 9));
    assert!(!open.completed && !open.deleted);
    assert_eq!(seconds_and_nanos(&open.created_at), Some((-2, 500_000_000)));
    assert_eq!(seconds_and_nanos(&open.updated_at), Some((2, 3_000)));
    assert_eq!(seconds_and_nanos(&open.completed_at), None);

    let done = Task { completed_at: Some(Timestamp(0)), deleted: true, ..open_task() };
    let done = task(&done);
    assert!(done.completed && done.deleted);
    assert_eq!(seconds_and_nanos(&done.completed_at), Some((0, 0)));
}

/// Nanoseconds count forward from the second before, also before the epoch.
#[test]
fn timestamps() {
    for (micros, seconds, nanos) in [
        (0, 0, 0),
        (1, 0, 1_000),
        (999_999, 0, 999_999_000),
        (1_000_000, 1, 0),
        (-1, -1, 999_999_000),
        (-1_000_000, -1, 0),
        (-1_000_001, -2, 999_999_000),
        (i64::MAX, 9_223_372_036_854, 775_807_000),
        (i64::MIN, -9_223_372_036_855, 224_192_000),
    ] {
        let at = timestamp(Timestamp(micros));
        assert_eq!((at.seconds, at.nanos), (seconds, nanos), "{micros}");
    }
}

#[test]
fn updates() {
    for action in Action::ALL {
        for request_id in ["", "r-1"] {
            let change = Change {
                action,
                task: Arc::new(open_task()),
                before: None,
                request_id: RequestId::new(request_id).unwrap(),
            };
            let expected = proto::TaskUpdate {
                task: MessageField::some(task(&open_task())),
                action: action.name().to_owned(),
                revision: 9,
                request_id: request_id.to_owned(),
                ..Default::default()
            };
            assert_eq!(update(&change), expected);
        }
    }
}

#[test]
fn the_marks_of_a_snapshot() {
    let mark = |action: &str| proto::TaskUpdate { action: action.to_owned(), ..Default::default() };
    assert_eq!(reset(), mark("RESET"));
    let in_snapshot = MessageField::some(task(&open_task()));
    assert_eq!(
        snapshot_update(&open_task()),
        proto::TaskUpdate { task: in_snapshot, ..mark("SNAPSHOT") }
    );
    assert_eq!(
        synced("a-list", 9),
        proto::TaskUpdate { revision: 9, list_id: "a-list".to_owned(), ..mark("SYNCED") }
    );
    assert_eq!(progress(9), proto::TaskUpdate { revision: 9, ..mark("PROGRESS") });
}

#[test]
fn how_often_progress_may_be_asked_for() {
    for (ms, interval) in [(0, None), (100, Some(100)), (60_000, Some(60_000))] {
        assert_eq!(progress_interval(ms), Ok(interval.map(Duration::from_millis)));
    }
    for ms in [-1, 1, 99, 60_001, i32::MAX, i32::MIN] {
        assert_eq!(progress_interval(ms), Err(Rejection::ProgressInterval(ms)));
    }
}
