//! The list at earlier revisions, and its changes.

use std::ops::Range;
use std::thread;

use todo::client::{CallError, Client, Code, Edit};
use todo::state::Limits;
use todo::store::{MemoryStore, SqliteStore, Store};
use todo::wire::methods;
use todo::wire::proto::*;

use crate::change_log::{Log, list_changes};
use crate::harness::{Calls, TestServer, refusal, until};
use crate::lost_history::{compacted, short_history};
use crate::promises::{in_memory, write_at_once};
use crate::workload::{FILTERS, LogKeeper, Workload};

/// The list at a revision, page by page.
fn list_at(
    client: &Client,
    revision: i64,
    filter: Filter,
    page_size: i32,
) -> Result<Vec<Task>, CallError> {
    let mut request = GetTasksRequest {
        at_revision: Some(revision),
        filter: filter.into(),
        page_size,
        ..Default::default()
    };
    let mut tasks = Vec::new();
    loop {
        let page = client.call(&methods::GET_TASKS, &request)?;
        assert_eq!(page.revision, revision);
        tasks.extend(page.tasks);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return Ok(tasks);
        }
    }
}

fn on_each_store(test: impl Fn(Box<dyn Store>)) {
    test(in_memory());
    let dir = tempfile::tempdir().unwrap();
    test(Box::new(SqliteStore::open(dir.path()).unwrap()));
}

#[test]
fn the_list_as_it_was_is_the_replayed_list_at_every_revision_and_for_every_filter() {
    on_each_store(|store| {
        let server = TestServer::with(store, Limits::default());
        let client = server.client();
        let workload = Workload::new(&server.address);
        workload.write(250, 1);
        let log = Log::fetch(&client);
        for revision in 0..=log.newest() {
            for (filter, page_size) in FILTERS.into_iter().zip([0, 1, 3, 7, 10_000]) {
                let listed = list_at(&client, revision, filter, page_size).unwrap();
                assert_eq!(listed, log.tasks_at(revision, filter), "{filter:?} at {revision}");
            }
        }
        let to_come = list_at(&client, log.newest() + 1, Filter::ANY, 0);
        let (code, why) = refusal(to_come);
        assert_eq!(code, Code::OutOfRange);
        assert!(why.contains("is in the future"), "{why}");
    });
}

/// Compaction runs, and the list changes between two pages.
#[test]
fn the_list_as_it_was_stays_what_it_was_until_it_is_refused() {
    on_each_store(|store| {
        let server = TestServer::with(store, short_history(500));
        let workload = &Workload::with_log_keeper(&server.address, 400);
        let (listings, log) = thread::scope(|scope| {
            let log = scope.spawn(|| LogKeeper::new(workload).keep());
            let readers: Vec<_> = FILTERS
                .map(|filter| scope.spawn(move || list_until_the_end(workload, filter)))
                .into_iter()
                .collect();
            write_at_once(workload, 4_000);
            workload.finish();
            let listings: Vec<_> = readers.into_iter().map(|r| r.join().unwrap()).collect();
            (listings, log.join().unwrap().log())
        });
        for (filter, listings) in FILTERS.into_iter().zip(listings) {
            assert!(listings.len() > 1);
            for (revision, listed) in listings {
                assert_eq!(listed, log.tasks_at(revision, filter), "{filter:?} at {revision}");
            }
        }
        // The compacted revision itself can be read, the one before it cannot.
        let client = server.client();
        until("history is compacted", || compacted(&client) >= client.revision() - 501);
        let compacted = compacted(&client);
        assert_eq!(
            list_at(&client, compacted, Filter::ANY, 9).unwrap(),
            log.tasks_at(compacted, Filter::ANY)
        );
        let (code, why) = refusal(list_at(&client, compacted - 1, Filter::ANY, 9));
        assert_eq!(code, Code::OutOfRange);
        assert!(
            why.contains(&format!("history up to revision {compacted} was compacted")),
            "{why}"
        );
    });
}

/// Listings of the list 200 changes ago, until the writers are done.
pub fn list_until_the_end(workload: &Workload, filter: Filter) -> Vec<(i64, Vec<Task>)> {
    let client = crate::harness::client(&workload.address);
    let mut listings = Vec::new();
    while workload.is_written() {
        let revision = (workload.newest() - 200).max(0);
        match list_at(&client, revision, filter, 20) {
            Ok(listed) => listings.push((revision, listed)),
            Err(gone) => assert_eq!(gone.code, Code::OutOfRange, "{gone}"),
        }
    }
    listings
}

fn changes(client: &Client, task: Option<i32>, range: Range<i64>, size: i32) -> Vec<TaskUpdate> {
    let query = ListChangesRequest {
        task_id: task,
        after_revision: Some(range.start),
        up_to_revision: Some(range.end),
        page_size: size,
        ..Default::default()
    };
    list_changes(client, &query).unwrap().0
}

#[test]
fn changes_are_listed_in_pages_by_task_and_by_revision() {
    on_each_store(|store| {
        let server = TestServer::with(store, Limits::default());
        let client = server.client();
        Workload::new(&server.address).write(1_200, 1);
        let log = Log::fetch(&client);
        let newest = log.newest();
        let expected = |task: Option<i32>, range: Range<i64>| -> Vec<TaskUpdate> {
            (range.start + 1..=range.end.min(newest))
                .map(|revision| log.change(revision).unwrap().clone())
                .filter(|change| task.is_none_or(|id| change.task.id == id))
                .collect()
        };
        for (task, range, size) in [
            (None, 0..newest, 0),
            (None, 0..newest, 1_000),
            (None, 0..newest, i32::MAX),
            (None, 3..17, 1),
            (None, 5..5, 3),
            (None, Range { start: 9, end: 4 }, 3),
            (None, newest..newest, 3),
            (None, newest - 7..newest + 100, 3),
            (Some(1), 0..newest, 1),
            (Some(2), 100..newest - 100, 2),
        ] {
            let listed = changes(&client, task, range.clone(), size);
            assert_eq!(listed, expected(task, range.clone()), "{task:?} {range:?} by {size}");
        }
    });
}

#[test]
fn changes_that_cannot_be_listed_are_refused() {
    let server = TestServer::with(in_memory(), short_history(10));
    let client = server.client();
    for _ in 0..100 {
        let id = client.add("task").unwrap().id;
        client.edit(id, Edit::Complete).unwrap();
    }
    until("history is compacted", || compacted(&client) == 190);
    let first = ListChangesRequest { page_size: 3, ..Default::default() };
    let page = client.call(&methods::LIST_CHANGES, &first).unwrap();
    let found: Vec<_> = page.changes.iter().map(|change| change.revision).collect();
    assert_eq!((found, page.compacted_revision), (vec![191, 192, 193], 190));
    let token = page.next_page_token;
    let with_token = ListChangesRequest { page_token: token.clone(), ..first.clone() };
    for (request, code, why) in [
        (ListChangesRequest { task_id: Some(101), ..first.clone() }, Code::NotFound, "not found"),
        (ListChangesRequest { task_id: Some(0), ..first.clone() }, Code::NotFound, "not found"),
        (
            ListChangesRequest { after_revision: Some(201), ..first.clone() },
            Code::OutOfRange,
            "is in the future",
        ),
        (
            ListChangesRequest { task_id: Some(3), after_revision: Some(0), ..first.clone() },
            Code::OutOfRange,
            "history up to revision 190 was compacted",
        ),
        (
            ListChangesRequest { after_revision: Some(-1), ..first.clone() },
            Code::InvalidArgument,
            "after_revision",
        ),
        (
            ListChangesRequest { up_to_revision: Some(-1), ..first.clone() },
            Code::InvalidArgument,
            "up_to_revision",
        ),
        (ListChangesRequest { page_size: -1, ..first.clone() }, Code::InvalidArgument, "page_size"),
        (
            ListChangesRequest { task_id: Some(100), ..with_token.clone() },
            Code::InvalidArgument,
            "page token",
        ),
        (
            ListChangesRequest { up_to_revision: Some(195), ..with_token.clone() },
            Code::InvalidArgument,
            "page token",
        ),
        (
            ListChangesRequest { page_token: token.clone() + "0", ..first.clone() },
            Code::InvalidArgument,
            "page token",
        ),
    ] {
        let (found, said) = refusal(client.call(&methods::LIST_CHANGES, &request));
        assert_eq!(found, code, "{request}: {said}");
        assert!(said.contains(why), "{request}: {said}");
    }
    // The listing of one task also has what is left of its older changes.
    let of_task = ListChangesRequest { task_id: Some(3), ..first.clone() };
    let (left, _) = list_changes(&client, &of_task).unwrap();
    assert_eq!(left.iter().map(|change| change.revision).collect::<Vec<_>>(), [6]);

    let other = TestServer::with(Box::new(MemoryStore::new("other-list")), Limits::default());
    other.client().add("task").unwrap();
    assert_eq!(
        refusal(other.client().call(&methods::LIST_CHANGES, &with_token)).0,
        Code::InvalidArgument
    );
}
