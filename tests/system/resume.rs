//! Watches that resume from a revision.

use grpcio::RpcStatusCode;
use todo::client::{Client, Edit};
use todo::limits::CHANGE_LOG_CHANGES_MAX;
use todo::state::Limits;
use todo::store::{SqliteStore, Store};
use todo::wire::proto::*;

use crate::abuse::narrow;
use crate::harness::{Calls, TestServer};
use crate::load::add_many;
use crate::stream::{Stream, raw, read, unpacked};

/// `ADDED@1`
fn shown(updates: &[TaskUpdate]) -> String {
    let shown: Vec<_> = updates.iter().map(|u| format!("{}@{}", u.action, u.revision)).collect();
    shown.join(" ")
}

fn after(revision: i64) -> WatchTasksRequest {
    WatchTasksRequest {
        after_revision: Some(revision),
        filter: Filter::ANY.into(),
        ..Default::default()
    }
}

fn watch(server: &TestServer, request: &WatchTasksRequest) -> Stream {
    Stream::open(&raw(&server.address, |channel| channel), request)
}

fn six_changes(client: &Client) {
    client.add("milk").unwrap();
    client.add("bread").unwrap();
    client.edit(1, Edit::Complete).unwrap();
    client.edit(1, Edit::Retitle("oat".to_owned())).unwrap();
    client.edit(2, Edit::Delete).unwrap();
    client.edit(1, Edit::Reopen).unwrap();
}

/// On both stores, and with SQLite on a list whose changes are no longer in memory.
fn on_each_store(test: impl Fn(&TestServer)) {
    let server = TestServer::start();
    six_changes(&server.client());
    test(&server);
    let dir = tempfile::tempdir().unwrap();
    let open = || -> Box<dyn Store> { Box::new(SqliteStore::open(dir.path()).unwrap()) };
    let server = TestServer::with(open(), Limits::default());
    six_changes(&server.client());
    server.stop().unwrap();
    test(&TestServer::with(open(), Limits::default()));
}

#[test]
fn a_resume_sends_later_changes_then_synced_then_live_changes() {
    on_each_store(|server| {
        for (revision, history) in [
            (0, "ADDED@1 ADDED@2 COMPLETED@3 UPDATED@4 DELETED@5 REOPENED@6 SYNCED@6"),
            (4, "DELETED@5 REOPENED@6 SYNCED@6"),
            (6, "SYNCED@6"),
        ] {
            let stream = watch(server, &after(revision));
            let messages = stream.up_to("SYNCED");
            assert_eq!(shown(&messages), history);
            assert!(!messages.last().unwrap().list_id.is_empty());
        }
        let stream = watch(server, &after(6));
        stream.up_to("SYNCED");
        server.client().add("live").unwrap();
        assert_eq!(shown(&[stream.update()]), "ADDED@7");
    });
}

#[test]
fn a_filtered_resume_sends_what_concerns_the_filter() {
    on_each_store(|server| {
        for (filter, history) in [
            (Filter::LIVE, "ADDED@1 ADDED@2 COMPLETED@3 UPDATED@4 DELETED@5 REOPENED@6 SYNCED@6"),
            (Filter::OPEN, "ADDED@1 ADDED@2 COMPLETED@3 DELETED@5 REOPENED@6 SYNCED@6"),
            (Filter::COMPLETED, "COMPLETED@3 UPDATED@4 REOPENED@6 SYNCED@6"),
            (Filter::DELETED, "DELETED@5 SYNCED@6"),
        ] {
            let request = WatchTasksRequest { filter: filter.into(), ..after(0) };
            assert_eq!(shown(&watch(server, &request).up_to("SYNCED")), history, "{filter:?}");
        }
    });
}

#[test]
fn a_revision_that_cannot_be_resumed_from_is_out_of_range_or_falls_back() {
    on_each_store(|server| {
        let other_list = WatchTasksRequest { list_id: "other".to_owned(), ..after(3) };
        for (request, why) in [
            (after(7), "revision 7 is in the future: the list is at revision 6"),
            (other_list, "the position belongs to list other"),
        ] {
            let (code, message) = watch(server, &request).end();
            assert_eq!(code, RpcStatusCode::OUT_OF_RANGE);
            assert!(message.contains(why), "{message}");
            let request = WatchTasksRequest { snapshot: true, ..request };
            let stream = watch(server, &request);
            assert_eq!(shown(&stream.up_to("SYNCED")), "RESET@0 SNAPSHOT@0 SNAPSHOT@0 SYNCED@6");
        }
        let list_id = server.client().page(Filter::ANY, 1, "").unwrap().list_id;
        let request = WatchTasksRequest { list_id, snapshot: true, ..after(5) };
        assert_eq!(shown(&watch(server, &request).up_to("SYNCED")), "REOPENED@6 SYNCED@6");
    });
}

#[test]
fn bad_requests_are_refused() {
    let server = TestServer::start();
    for request in [
        after(-1),
        WatchTasksRequest { progress_interval_ms: 99, ..Default::default() },
        WatchTasksRequest { progress_interval_ms: 60_001, ..Default::default() },
        WatchTasksRequest { max_updates_per_message: -1, ..Default::default() },
    ] {
        let (code, message) = watch(&server, &request).end();
        assert_eq!(code, RpcStatusCode::INVALID_ARGUMENT, "{message}");
    }
}

#[test]
fn history_is_packed_only_on_request() {
    on_each_store(|server| {
        let client = server.client();
        for n in 0..2_100 {
            client.add(&format!("task {n}")).unwrap();
        }
        let single = watch(server, &after(0)).up_to("SYNCED");
        assert!(single.iter().all(|message| message.more.is_empty()));
        assert_eq!(single.len(), 2_107);
        let packed = WatchTasksRequest { max_updates_per_message: 1_000, ..after(0) };
        let packed = watch(server, &packed).up_to("SYNCED");
        assert_eq!(packed.len(), 4, "1,000 and 1,000 and 106, and SYNCED");
        assert_eq!(unpacked(packed), single);
    });
}

#[test]
fn progress_names_the_revision_up_to_which_everything_was_sent() {
    let server = TestServer::start();
    let client = server.client();
    client.add("milk").unwrap();
    let request =
        WatchTasksRequest { progress_interval_ms: 100, filter: Filter::DELETED.into(), ..after(0) };
    let stream = watch(&server, &request);
    assert_eq!(shown(&stream.up_to("SYNCED")), "SYNCED@1");
    assert_eq!(shown(&[stream.update()]), "PROGRESS@1");
    client.add("bread").unwrap();
    loop {
        let update = stream.update();
        assert_eq!(update.action, "PROGRESS");
        if update.revision == 2 {
            break;
        }
    }
    client.edit(2, Edit::Delete).unwrap();
    while stream.update().action == "PROGRESS" {}
    assert_eq!(shown(&[stream.update()]), "PROGRESS@3");
}

/// The newest changes are in memory, older ones on disk: a lagging watcher receives all of
/// them, and then the live ones, without a seam.
#[test]
fn a_slow_watcher_gets_everything_and_holds_up_nobody() {
    const CHANGES: usize = 30_000;
    const { assert!(CHANGES > CHANGE_LOG_CHANGES_MAX) };
    let limits = Limits { change_log_changes: 8, ..Limits::default() };
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::with(Box::new(SqliteStore::open(dir.path()).unwrap()), limits);
    let client = server.client();
    let title = "x".repeat(500);
    // It reads nothing until everything is written: the transport buffers 64 KiB.
    let slow = raw(&server.address, narrow);
    let request = WatchTasksRequest { max_updates_per_message: 7, ..after(0) };
    let stalled = slow
        .server_streaming(&todo::wire::methods::WATCH_TASKS, &request, Default::default())
        .unwrap();
    add_many(&server.address, CHANGES, &title);
    let last = client.revision();
    assert_eq!(last, CHANGES as i64);
    let updates = read(stalled, |update| update.revision == last);
    let changes = updates.iter().filter(|update| update.action == "ADDED");
    assert!(changes.map(|update| update.revision).eq(1..=last));
}

#[test]
fn a_snapshot_is_packed_on_request_too() {
    let server = TestServer::start();
    add_many(&server.address, 2_500, "task");
    let snapshot = WatchTasksRequest { snapshot: true, ..Default::default() };
    let single = watch(&server, &snapshot).up_to("SYNCED");
    assert_eq!(single.len(), 2_502);
    let packed = WatchTasksRequest { max_updates_per_message: 1_000, ..snapshot };
    let packed = watch(&server, &packed).up_to("SYNCED");
    assert_eq!(packed.len(), 5, "RESET, three messages, SYNCED");
    assert_eq!(unpacked(packed), single);
}
