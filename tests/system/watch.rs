//! Watches: live, in order, complete.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use protobuf::EnumOrUnknown;
use todo::client::{Code, Edit, WatchEvent, WatchOptions, WatchStart};
use todo::state::Limits;
use todo::wire::methods;
use todo::wire::proto::*;

use crate::harness::{self, Calls, TestServer, end_of, next_event, next_update, watch};
use crate::stream::{Stream, raw};

/// `ADDED 1@1 milk`
fn shown(update: &TaskUpdate) -> String {
    match update.task.as_ref() {
        Some(task) => {
            format!("{} {}@{} {}", update.action, task.id, update.revision, task.title)
        }
        None => format!("{} @{} {}", update.action, update.revision, update.list_id),
    }
}

#[test]
fn a_snapshot_and_then_live_without_gap_or_duplicate() {
    let server = TestServer::start();
    let client = server.client();
    client.add("milk").unwrap();
    client.add("bread").unwrap();
    client.edit(1, Edit::Complete).unwrap();
    let (watch, before) = watch(&client, Filter::LIVE);
    let before: Vec<_> = before.iter().map(shown).collect();
    assert_eq!(
        before,
        ["RESET @0 ", "SNAPSHOT 1@0 milk", "SNAPSHOT 2@0 bread", "SYNCED @3 test-list"]
    );
    client.edit(2, Edit::Retitle("rye".to_owned())).unwrap();
    client.edit(2, Edit::Retitle("rye".to_owned())).unwrap();
    client.edit(1, Edit::Reopen).unwrap();
    assert_eq!(shown(&next_update(&watch)), "UPDATED 2@4 rye");
    assert_eq!(shown(&next_update(&watch)), "REOPENED 1@5 milk");
}

#[test]
fn a_watch_without_extended_fields_gets_only_what_the_reference_example_sent() {
    let server = TestServer::start();
    let client = server.client();
    client.add("before").unwrap();
    let stream = Stream::open(&raw(&server.address, |c| c), &WatchTasksRequest::default());
    let is_seen = AtomicBool::new(false);
    let first = thread::scope(|scope| {
        // No message says that it is registered, so add tasks until it receives one.
        scope.spawn(|| {
            let client = harness::client(&server.address);
            while !is_seen.load(Ordering::Relaxed) {
                client.add("warm-up").unwrap();
            }
        });
        let first = stream.update();
        is_seen.store(true, Ordering::Relaxed);
        first
    });
    client.edit(1, Edit::Complete).unwrap();
    let mut last = first;
    while last.action == "ADDED" {
        let update = stream.update();
        assert_eq!((update.revision, update.more.len()), (last.revision + 1, 0), "{update}");
        last = update;
    }
    assert_eq!((&*last.action, last.task.id), ("COMPLETED", 1));
}

#[test]
fn an_update_names_its_request_and_carries_the_task_after_it() {
    let server = TestServer::start();
    let client = server.client();
    let (watch, _) = watch(&client, Filter::LIVE);
    let task = client.add_with("milk", "r1").unwrap();
    let update = next_update(&watch);
    assert_eq!((&*update.request_id, update.task.unwrap()), ("r1", task));
    let own = client.add("bread").unwrap();
    let update = next_update(&watch);
    assert!(client.is_own(&update) && !server.client().is_own(&update), "{update}");
    assert_eq!(update.task.unwrap(), own);
}

#[test]
fn a_filtered_watcher_learns_that_a_task_left_its_filter() {
    let server = TestServer::start();
    let client = server.client();
    let (open, _) = watch(&client, Filter::OPEN);
    let (deleted, _) = watch(&client, Filter::DELETED);
    client.add("milk").unwrap();
    client.edit(1, Edit::Complete).unwrap();
    client.edit(1, Edit::Retitle("oat".to_owned())).unwrap();
    client.edit(1, Edit::Delete).unwrap();
    client.edit(1, Edit::Restore).unwrap();
    client.edit(1, Edit::Reopen).unwrap();
    let seen =
        |watch, updates| -> Vec<_> { (0..updates).map(|_| shown(&next_update(watch))).collect() };
    assert_eq!(seen(&open, 3), ["ADDED 1@1 milk", "COMPLETED 1@2 milk", "REOPENED 1@6 oat"]);
    assert_eq!(seen(&deleted, 2), ["DELETED 1@4 oat", "RESTORED 1@5 oat"]);
    let (_, snapshot) = self::watch(&client, Filter::COMPLETED);
    assert_eq!(snapshot.len(), 2, "nothing is completed: RESET and SYNCED alone");
}

#[test]
fn an_unknown_filter_is_refused() {
    let server = TestServer::start();
    let env = std::sync::Arc::new(grpcio::EnvBuilder::new().cq_count(1).build());
    let raw = grpcio::Client::new(grpcio::ChannelBuilder::new(env).connect(&server.address));
    let request = WatchTasksRequest { filter: EnumOrUnknown::from_i32(77), ..Default::default() };
    let mut stream =
        raw.server_streaming(&methods::WATCH_TASKS, &request, Default::default()).unwrap();
    match futures_executor::block_on(futures_util::StreamExt::next(&mut stream)) {
        Some(Err(grpcio::Error::RpcFailure(status))) => {
            assert_eq!(status.code(), grpcio::RpcStatusCode::INVALID_ARGUMENT);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_hundred_watchers_each_see_every_concurrent_change_once_and_in_order() {
    const WATCHERS: usize = 100;
    const WRITERS: i64 = 4;
    const CHANGES: i64 = 1_000;
    let server = TestServer::start();
    let address = &server.address;
    let client = server.client();
    let watches: Vec<_> = (0..WATCHERS).map(|_| watch(&client, Filter::ANY).0).collect();
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                let client = harness::client(address);
                for _ in 0..CHANGES / WRITERS / 2 {
                    let id = client.add("task").unwrap().id;
                    client.edit(id, Edit::Complete).unwrap();
                }
            });
        }
        for watch in &watches {
            for revision in 1..=CHANGES {
                assert_eq!(next_update(watch).revision, revision);
            }
        }
    });
    // A duplicate would come before this change.
    assert_eq!(client.add("the last one").unwrap().revision, CHANGES + 1);
    for watch in &watches {
        assert_eq!(next_update(watch).revision, CHANGES + 1);
    }
}

#[test]
fn a_snapshot_taken_in_the_middle_of_changes_meets_its_stream_exactly() {
    let server = TestServer::start();
    let address = &server.address;
    let client = server.client();
    const TASKS: i32 = 1_000;
    for _ in 0..TASKS {
        client.add("task").unwrap();
    }
    let done = AtomicBool::new(false);
    let done = &done;
    thread::scope(|scope| {
        for writer in 0..3 {
            scope.spawn(move || {
                let client = harness::client(address);
                for id in (1..=TASKS).skip(writer).step_by(3).cycle() {
                    if done.load(Ordering::Relaxed) {
                        return;
                    }
                    client.edit(id, Edit::Complete).unwrap();
                    client.edit(id, Edit::Reopen).unwrap();
                }
            });
        }
        for round in 0..50 {
            let (live, before) = watch(&client, Filter::ANY);
            let synced = before.last().unwrap().revision;
            let tasks = &before[1..before.len() - 1];
            let newest = tasks.iter().map(|update| update.task.revision).max().unwrap_or(0);
            assert_eq!(newest, synced, "round {round}: the snapshot is the list at SYNCED");
            for revision in synced + 1..synced + 10 {
                assert_eq!(next_update(&live).revision, revision, "round {round}");
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

/// The transport sometimes reports the end of a stream before an earlier update, so this is
/// tried often.
#[test]
fn a_server_that_stops_ends_its_watches_with_unavailable_after_the_last_update() {
    for round in 0..40 {
        let server = TestServer::start();
        let client = server.client();
        let (watch, _) = watch(&client, Filter::LIVE);
        client.add("last").unwrap();
        server.stop().unwrap();
        assert_eq!(next_update(&watch).action, "ADDED", "round {round}");
        let why = end_of(&watch);
        assert_eq!(why.code, Code::Unavailable);
        assert!(why.message.contains("shutting down"), "{why}");
    }
}

#[test]
fn a_watch_reconnects_and_receives_what_it_missed() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Box::new(todo::store::SqliteStore::open(dir.path()).unwrap());
    let server = TestServer::with(open(), Limits::default());
    let address = server.address.clone();
    let start = WatchStart::Snapshot;
    let options = WatchOptions { start, reconnect: true, ..Default::default() };
    let watch = server.client().watch(options).unwrap();
    while next_update(&watch).action != "SYNCED" {}
    server.stop().unwrap();
    assert!(matches!(next_event(&watch), WatchEvent::Lost(_)));
    let elsewhere = TestServer::with(open(), Limits::default());
    elsewhere.client().add("meanwhile").unwrap();
    elsewhere.stop().unwrap();
    let listen = [address.parse().unwrap()];
    let again = todo::server::Server::start(open(), Limits::default(), &listen).unwrap();
    assert_eq!(next_event(&watch), WatchEvent::Connected { is_todod: true });
    assert_eq!(next_update(&watch).task.title, "meanwhile");
    assert_eq!(next_update(&watch).action, "SYNCED");
    harness::client(&address).add("after").unwrap();
    assert_eq!(next_update(&watch).task.title, "after");
    drop(watch);
    again.shutdown().unwrap();
}
