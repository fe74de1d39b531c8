//! Tasks that are removed for good.

use todo::client::{CallError, Client, Code, Edit};
use todo::state::Limits;
use todo::store::{SqliteStore, Store};
use todo::wire::methods;
use todo::wire::proto::*;

use crate::change_log::list_changes;
use crate::daemon::Daemon;
use crate::harness::{self, Calls, TestServer, refusal, until};
use crate::promises::in_memory;
use crate::stream::{Stream, raw};
use crate::workload::FILTERS;

fn purge(client: &Client, task_id: i32, request_id: &str) -> Result<Task, CallError> {
    let request_id = request_id.to_owned();
    let request = PurgeTaskRequest { task_id, request_id, ..Default::default() };
    Ok(client.make(&methods::PURGE_TASK, &request)?.task.unwrap())
}

/// Deletes the task, then purges it. Returns the revision of the purge.
fn remove(client: &Client, task_id: i32) -> i64 {
    client.edit(task_id, Edit::Delete).unwrap();
    purge(client, task_id, "").unwrap().revision
}

/// What is left of a task.
fn rest(id: i32, revision: i64) -> Task {
    Task { id, revision, ..Default::default() }
}

#[test]
fn only_a_deleted_task_is_purged() {
    let server = TestServer::start();
    let client = server.client();
    client.add("milk").unwrap();
    let (code, message) = refusal(purge(&client, 1, ""));
    assert_eq!(
        (code, &*message),
        (Code::FailedPrecondition, "task 1 is not deleted: delete it before you purge it")
    );
    assert_eq!(refusal(purge(&client, 2, "")).0, Code::NotFound);
    client.edit(1, Edit::Delete).unwrap();
    let expected_revision = Some(1);
    let request = PurgeTaskRequest { task_id: 1, expected_revision, ..Default::default() };
    assert_eq!(refusal(client.make(&methods::PURGE_TASK, &request)).0, Code::Aborted);
    assert_eq!(client.revision(), 2, "nothing of this changed the list");
    assert_eq!(purge(&client, 1, "").unwrap(), rest(1, 3));
    assert_eq!(client.revision(), 3);
}

/// Everything that a purge of task 1 must leave behind. Revisions 1, 3 and 4 were its own.
fn is_purged(client: &Client) {
    let not_found = (Code::NotFound, "Task not found".to_owned());
    assert_eq!(refusal(client.get(1)), not_found);
    let edits =
        [Edit::Complete, Edit::Reopen, Edit::Delete, Edit::Restore, Edit::Retitle("x".to_owned())];
    for edit in edits {
        assert_eq!(refusal(client.edit(1, edit.clone())), not_found, "{edit:?}");
    }
    assert_eq!(refusal(purge(client, 1, "")), not_found);
    assert_eq!(purge(client, 1, "p").unwrap(), rest(1, 4), "a retry gets the first answer");

    let (changes, _) = list_changes(client, &ListChangesRequest::new()).unwrap();
    let actions: Vec<_> = changes.iter().take(4).map(|change| &*change.action).collect();
    assert_eq!(actions, ["ADDED", "ADDED", "DELETED", "PURGED"]);
    for (change, revision) in changes.iter().zip(1..) {
        match revision {
            1 | 3 | 4 => assert_eq!(*change.task, rest(1, revision), "no content is left"),
            2 => assert_eq!(change.task.title, "bread", "other tasks keep theirs"),
            _ => {}
        }
    }
    let of_task = ListChangesRequest { task_id: Some(1), ..Default::default() };
    let (of_task, _) = list_changes(client, &of_task).unwrap();
    assert!(of_task.iter().map(|change| change.revision).eq([1, 3, 4]));
    for at_revision in 1..=4 {
        let then = GetTasksRequest {
            at_revision: Some(at_revision),
            filter: Filter::ANY.into(),
            ..Default::default()
        };
        let then = client.make(&methods::GET_TASKS, &then).unwrap().tasks;
        assert!(then.iter().all(|task| task.id != 1), "the list at {at_revision}: {then:?}");
    }
}

fn nothing_of_a_purged_task_is_left(server: &TestServer) {
    let client = server.client();
    client.add("milk").unwrap();
    client.add("bread").unwrap();
    client.edit(1, Edit::Delete).unwrap();
    assert_eq!(purge(&client, 1, "p").unwrap(), rest(1, 4));
    is_purged(&client);
    assert_eq!(client.titles(), ["bread"]);
    assert_eq!(client.add("rye").unwrap().id, 3, "the id is not reused");
}

#[test]
fn nothing_of_a_purged_task_is_left_in_memory() {
    nothing_of_a_purged_task_is_left(&TestServer::start());
}

#[test]
fn nothing_of_a_purged_task_is_left_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let start =
        || TestServer::with(Box::new(SqliteStore::open(dir.path()).unwrap()), Limits::default());
    let server = start();
    nothing_of_a_purged_task_is_left(&server);
    // The last id, and the last revision: no task has either of them now.
    let purged = remove(&server.client(), 3);
    server.stop().unwrap();

    let server = start();
    let client = server.client();
    is_purged(&client);
    assert_eq!((client.titles(), client.revision()), (vec!["bread".to_owned()], purged));
    let added = client.add("oats").unwrap();
    assert_eq!((added.id, added.revision), (4, purged + 1));
}

/// Live, or resumed from before the deletion, from the change log or from the store: a
/// watcher that knew the task learns that it no longer exists.
fn every_watcher_learns_of_a_purge(store: Box<dyn Store>) {
    let server = TestServer::with(store, Limits { change_log_changes: 4, ..Limits::default() });
    let client = server.client();
    client.add("milk").unwrap();
    client.add("bread").unwrap();
    client.edit(2, Edit::Complete).unwrap();
    let open = |filter: Filter, after| {
        let request = WatchTasksRequest {
            after_revision: Some(after),
            filter: filter.into(),
            ..Default::default()
        };
        Stream::open(&raw(&server.address, |channel| channel), &request)
    };
    let live = FILTERS.map(|filter| {
        let stream = open(filter, 3);
        stream.up_to("SYNCED");
        stream
    });
    let purged = remove(&client, 1);
    let is_purge = |update: &TaskUpdate| {
        assert_eq!((&*update.task, update.revision), (&rest(1, purged), purged), "{update}");
        assert_eq!(update.batch_revision, purged);
    };
    for (stream, filter) in live.iter().zip(FILTERS) {
        let deleted = filter != Filter::COMPLETED;
        if deleted {
            assert_eq!(stream.update().action, "DELETED", "{filter:?}");
        }
        let update = stream.update();
        is_purge(&update);
        assert_eq!(update.previous_revision, if deleted { purged - 1 } else { 3 }, "{filter:?}");
    }
    // Once with the purge in the change log, once without.
    for _ in 0..2 {
        for filter in FILTERS {
            for after in 0..purged {
                let updates = open(filter, after).up_to("SYNCED");
                let purge = updates.iter().find(|update| update.action == "PURGED");
                is_purge(purge.unwrap_or_else(|| panic!("{filter:?} after {after}")));
            }
        }
        for _ in 0..8 {
            client.edit(2, Edit::Reopen).unwrap();
            client.edit(2, Edit::Complete).unwrap();
        }
    }
}

#[test]
fn every_watcher_learns_of_a_purge_in_memory() {
    every_watcher_learns_of_a_purge(in_memory());
}

#[test]
fn every_watcher_learns_of_a_purge_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    every_watcher_learns_of_a_purge(Box::new(SqliteStore::open(dir.path()).unwrap()));
}

/// More of them than one step purges; a live task stays.
#[test]
fn deleted_tasks_are_purged_after_a_time() {
    const DELETED: i32 = 250;
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path(), &["--trash-age", "0"]);
    let client = harness::client(&daemon.address);
    client.add("stays").unwrap();
    for id in 2..=1 + DELETED {
        client.add("goes").unwrap();
        client.edit(id, Edit::Delete).unwrap();
    }
    let revision = client.revision();
    assert_eq!(revision, 1 + 2 * i64::from(DELETED), "0: never");
    drop(daemon);

    // Deleted before the start, and after it.
    let daemon = Daemon::start(dir.path(), &["--trash-age", "100ms"]);
    let client = harness::client(&daemon.address);
    let late = client.add("goes, too").unwrap().id;
    client.edit(late, Edit::Delete).unwrap();
    until("deleted tasks are purged", || client.titles() == ["stays"]);
    let query = ListChangesRequest { after_revision: Some(revision), ..Default::default() };
    let (changes, last) = list_changes(&client, &query).unwrap();
    let purges = changes.iter().filter(|change| change.action == "PURGED").count();
    assert_eq!((purges as i32, last.revision), (DELETED + 1, revision + 3 + i64::from(DELETED)));
}
