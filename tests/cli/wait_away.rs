//! `todo wait` while its server is away, or says nothing: what it asks, and what it
//! makes of what it finds afterwards.

use std::path::Path;
use std::time::Instant;

use grpcio::RpcStatusCode;
use todo::client::{Client, Edit};
use todo::limits::RECONNECT_BACKOFF_MAX;
use todo::wire::methods::LIST_CHANGES;
use todo::wire::proto::{ListChangesRequest, Task};

use crate::daemon::Daemon;
use crate::told_server::{ToldServer, task};
use crate::wait::waiting;
use crate::watch::Watching;
use crate::{DEADLINE, client, todo};

/// It looks when its watch is registered. After that neither time, nor what becomes of
/// other tasks, nor a stream that goes on where it ended makes it look again: only
/// history that is gone does.
#[test]
fn it_looks_once_for_each_registration_and_polls_nothing() {
    // Looks that failed are repeated after this.
    let long = 2 * RECONNECT_BACKOFF_MAX;
    let server = ToldServer::start();
    let wait = Watching::spawn(&mut todo(&server.address, &["wait", "1"]));
    assert_eq!(server.call(), "GetTasks");
    let mut stream = server.watch();
    assert_eq!(stream.request.after_revision, Some(4));
    stream.send("SYNCED", 4, None);
    assert_eq!(server.call(), "GetTask");
    assert_eq!(wait.message(), "waiting for 1 a");
    (5..=200).for_each(|revision| stream.send("ADDED", revision, Some(task(2, "other"))));
    stream.send("PROGRESS", 200, None);
    server.is_asked_nothing_for(long);

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
    server.is_asked_nothing_for(long);
    let completed = Task { completed: true, revision: 5, ..task(1, "a") };
    stream.send("COMPLETED", 5, Some(completed));
    assert_eq!(wait.end(), "1 a\n");
}

#[test]
fn a_task_that_was_deleted_meanwhile_will_not_be_completed() {
    let dir = tempfile::tempdir().unwrap();
    let wait = left_waiting(dir.path(), &[], &["a"]).remove(0);
    let elsewhere = Daemon::start_at(dir.path(), "elsewhere.sock", &[]);
    client(&elsewhere.address).edit(1, Edit::Delete).unwrap();
    elsewhere.kill();
    let _daemon = Daemon::start(dir.path());
    let why = "! todo: 1: it is deleted, so it will not be completed\nexit 4\n";
    assert_eq!(wait.end(), format!("! todo: connected again\n{why}"));
}

#[test]
fn another_list_is_looked_at_again() {
    let dir = tempfile::tempdir().unwrap();
    let waits = left_waiting(dir.path(), &[], &["a", "b"]);
    let [known, unknown] = waits.try_into().unwrap_or_else(|_| panic!("two"));
    for file in ["todo.db", "todo.db-wal", "todo.db-shm"] {
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
fn history_that_is_gone_is_made_up_for_by_a_look() {
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

/// Waits for each of these tasks, on a server that is killed then.
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

/// Makes changes of another task until the history up to a revision is gone.
fn forget_all_up_to(revision: i64, client: &Client) {
    let oldest = ListChangesRequest { page_size: 1, ..Default::default() };
    let id = client.add("another task").unwrap().id;
    let deadline = Instant::now() + DEADLINE;
    while client.call(&LIST_CHANGES, &oldest).unwrap().compacted_revision < revision {
        assert!(Instant::now() < deadline, "history is kept");
        client.edit(id, Edit::Complete).unwrap();
        client.edit(id, Edit::Reopen).unwrap();
    }
}
