use super::*;
use crate::model::{RequestIdError, TitleError};

fn title(text: &str) -> Title {
    Title::new(text).unwrap()
}

fn with_id(mutation: Mutation, request_id: &str, expected: Option<Revision>) -> Request {
    let request_id = RequestId::new(request_id).unwrap();
    Request { mutation, precondition: Precondition { expected_revision: expected }, request_id }
}

#[test]
fn a_request_to_add() {
    let request = |title: &str, request_id: &str| proto::AddTaskRequest {
        title: title.to_owned(),
        request_id: request_id.to_owned(),
        ..Default::default()
    };
    let add = Mutation::Add(TaskFields { title: title("Buy milk") });
    assert_eq!(add_task(request(" Buy milk ", "")), Ok(add.clone().into()));
    assert_eq!(add_task(request("Buy milk", "r-1")), Ok(with_id(add, "r-1", None)));
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
                assert_eq!(converted, Ok(with_id(mutation.clone(), request_id, expected)));
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
        purge_task, PurgeTaskRequest, Edit::Purge;
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
    let patch = TaskPatch { title: Some(title("Buy bread")) };
    let update = Mutation::Edit { id: 7, edit: Edit::Update(patch) };
    assert_eq!(update_task(request(Some(" Buy bread"))), Ok(with_id(update, "r-1", Some(5))));
    assert_eq!(update_task(request(None)), Err(Rejection::NothingToUpdate));
    assert_eq!(update_task(request(Some(""))), Err(TitleError::Empty.into()));
}

#[test]
fn filters() {
    for (number, converted) in [
        (0, Ok(Status::Live.into())),
        (1, Ok(Status::Open.into())),
        (2, Ok(Status::Completed.into())),
        (3, Ok(Status::Deleted.into())),
        (4, Ok(Status::Any.into())),
        (5, Err(RequestError::Filter(5))),
        (-1, Err(RequestError::Filter(-1))),
    ] {
        assert_eq!(filter(EnumOrUnknown::from_i32(number)), converted);
    }
}

#[test]
fn progress_intervals_have_a_range() {
    for (ms, interval) in [(0, None), (100, Some(100)), (60_000, Some(60_000))] {
        assert_eq!(progress_interval(ms), Ok(interval.map(Duration::from_millis)));
    }
    for ms in [-1, 1, 99, 60_001, i32::MAX, i32::MIN] {
        assert_eq!(progress_interval(ms), Err(RequestError::ProgressInterval(ms)));
    }
}
