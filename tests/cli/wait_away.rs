//! `todo wait` while its server is unreachable or silent: which calls it makes, and what it
//! does afterwards.

use std::path::Path;
use std::time::Instant;

use grpcio::RpcStatusCode;
use todo::client::{Client, Edit};
use todo::limits::RECONNECT_BACKOFF_MAX;
use todo::wire::methods::LIST_CHANGES;
use todo::wire::proto::{ListChangesRequest, Task};

use crate::controlled_server::{ControlledServer, task};
use crate::daemon::Daemon;
use crate::wait::waiting;
use crate::watch::Watching;
use crate::{DEADLINE, client, todo};

/// `wait` reads the task when its watch is registered. Time, changes of other tasks and a
/// resumed stream do not make it read again; compacted history does.
#[test]
fn wait_reads_once_per_registration_and_does_not_poll() {
    // A failed read is repeated within this time.
    let long = 2 * RECONNECT_BACKOFF_MAX;
    let server = ControlledServer::start();
    let wait = Watching::spawn(&mut todo(&server.address, &["wait", "1"]));
    assert_eq!(server.call(), "GetTasks");
    let mut stream = server.watch();
    assert_eq!(stream.request.after_revision, Some(4));
    stream.send("SYNCED", 4, None);
    assert_eq!(server.call(), "GetTask");
    assert_eq!(wait.message(), "waiting for 1 a");
    (5..=200).for_each(|revision| stream.send("ADDED", revision, Some(task(2, "other"))));
    stream.send("PROGRESS", 200, None);
    server.has_no_call_for(long);

    stream.fail(RpcStatusCode::UNAVAILABLE);
    assert!(wait.message().ends_with("; trying again"));
    assert_eq!(server.call(), "GetTasks");
    let mut stream = server.watch();
    assert_eq!(stream.request.after_revision, Some(200));
    stream.send("SYNCED", 200, None);
    assert_eq!(wait.message(), "todo: connected again");

    stream.fail(RpcStatusCode::OUT_OF_RANGE);
    assert_eq!(server.call(), "GetTasks");
    let mut stream = server.watch();
    stream.send("SYNCED", 4, None);
    assert_eq!(server.call(), "GetTask");
    assert_eq!(wait.message(), "waiting for 1 a");
    server.has_no_call_for(long);
    let completed = Task { completed: true, revision: 5, ..task(1, "a") };
    stream.send("COMPLETED", 5, Some(completed));
    assert_eq!(wait.end(), "1 a\n");
}

#[test]
fn a_task_deleted_while_offline_will_not_be_completed() {
    let dir = tempfile::tempdir().unwrap();
    let wait = left_waiting(dir.path(), &[], &["a"]).remove(0);
    let elsewhere = Daemon::start_at(dir.path(), "elsewhere.sock", &[]);
    client(&elsewhere.address).edit(1, Edit::Delete).unwrap();
    elsewhere.kill();
    let _daemon = Daemon::start(dir.path());
    let why = "! todo: 1: the task is deleted, so it will not be completed\nexit 4\n";
    assert_eq!(wait.end(), format!("! todo: connected again\n{why}"));
}

#[test]
fn a_task_of_another_list_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let waits = left_waiting(dir.path(), &[], &["a", "b"]);
    let [known, unknown] = waits.try_into().unwrap_or_else(|_| panic!("two"));
    for file in ["todo.db", "todo.db-wal", "todo.db-shm", "todo.head"] {
        let _ = std::fs::remove_file(dir.path().join(file));
    }
    let elsewhere = Daemon::start_at(dir.path(), "elsewhere.sock", &[]);
    client(&elsewhere.address).add("of the new list").unwrap();
    elsewhere.kill();
    let daemon = Daemon::start(dir.path());
    assert_eq!(unknown.end(), "! todo: connected again\n! todo: 2: Task not found\nexit 3\n");
    assert_eq!(known.message(), "todo: connected again");
    assert_eq!(known.message(), "waiting for 1 of the new list");
    client(&daemon.address).edit(1, Edit::Complete).unwrap();
    assert_eq!(known.end(), "1 of the new list\n");
}

#[test]
fn compacted_history_is_replaced_by_a_read() {
    const SHORT: [&str; 4] = ["--history-revisions", "1", "--history-revisions-max", "1"];
    let dir = tempfile::tempdir().unwrap();
    let waits = left_waiting(dir.path(), &SHORT, &["a", "b"]);
    let [completed, open] = waits.try_into().unwrap_or_else(|_| panic!("two"));
    let elsewhere = Daemon::start_at(dir.path(), "elsewhere.sock", &SHORT);
    client(&elsewhere.address).edit(1, Edit::Complete).unwrap();
    forget_all_up_to(3, &client(&elsewhere.address));
    elsewhere.kill();
    let daemon = Daemon::start_at(dir.path(), "todo.sock", &SHORT);
    assert_eq!(completed.end(), "1 a\n! todo: connected again\n");
    assert_eq!(open.message(), "todo: connected again");
    assert_eq!(open.message(), "waiting for 2 b");
    client(&daemon.address).edit(2, Edit::Complete).unwrap();
    assert_eq!(open.end(), "2 b\n");
}

/// Starts a wait for each of these tasks, then kills the server.
fn left_waiting(dir: &Path, args: &[&str], titles: &[&str]) -> Vec<Watching> {
    let daemon = Daemon::start_at(dir, "todo.sock", args);
    for title in titles {
        client(&daemon.address).add(title).unwrap();
    }
    let wait = |(id, title): (i32, &&str)| waiting(&daemon.address, &id.to_string(), title);
    let waits: Vec<_> = (1..).zip(titles).map(wait).collect();
    daemon.kill();
    for wait in &waits {
        assert!(wait.message().ends_with("; trying again"));
    }
    waits
}

/// Changes another task until the history up to a revision is compacted.
fn forget_all_up_to(revision: i64, client: &Client) {
    let oldest = ListChangesRequest { page_size: 1, ..Default::default() };
    let id = client.add("another task").unwrap().id;
    let deadline = Instant::now() + DEADLINE;
    while client.call(&LIST_CHANGES, &oldest).unwrap().compacted_revision < revision {
        assert!(Instant::now() < deadline, "history is not compacted");
        client.edit(id, Edit::Complete).unwrap();
        client.edit(id, Edit::Reopen).unwrap();
    }
}
