//! History is compacted while watchers still need it: their streams end with an error, and
//! never skip a change silently.

use std::thread;

use grpcio::RpcStatusCode;
use todo::client::{Client, Edit};
use todo::limits::{CHANGE_LOG_CHANGES_MAX, PINNED_SNAPSHOTS_MAX};
use todo::state::{Limits, Retention};
use todo::store::{SqliteStore, Store};
use todo::wire::methods::LIST_CHANGES;
use todo::wire::proto::*;

use crate::abuse::narrow;
use crate::checker::Recording;
use crate::follow::{WatcherProfile, check};
use crate::harness::{Calls, TestServer, until};
use crate::load::add_many;
use crate::promises::{in_memory, write_at_once};
use crate::stream::{Stream, environment, raw_in};
use crate::workload::{FILTERS, LogKeeper, Workload, check_answers};

/// Keeps this many changes, and compacts older ones immediately.
pub fn short_history(revisions: i64) -> Limits {
    let history = Retention { revisions, revisions_max: revisions, ..Retention::default() };
    Limits { change_log_changes: 4, retention: history, ..Limits::default() }
}

/// Watchers that lag far behind. Some fall back to a snapshot.
fn laggards() -> Vec<WatcherProfile> {
    let mut laggards = Vec::new();
    for (filter, seed) in FILTERS.into_iter().zip(1..) {
        let mut profile = WatcherProfile::new(filter, seed).after(0);
        profile.stalls_for = 900;
        profile.request.max_updates_per_message = 5;
        profile.hangs_up = seed % 2 == 0;
        let mut falling_back =
            WatcherProfile { seed: seed + 10, ..profile.clone() }.with_snapshot();
        falling_back.falls_back = true;
        falling_back.hangs_up = true;
        laggards.extend([profile, falling_back]);
    }
    laggards
}

/// Adds more tasks than the change log holds. Returns how many.
fn more_than_memory(server: &TestServer) -> usize {
    let tasks = CHANGE_LOG_CHANGES_MAX + 5_000;
    // So long that they fill the transport's window.
    add_many(&server.address, tasks, &"x".repeat(200));
    tasks
}

pub fn compacted(client: &Client) -> i64 {
    let first = ListChangesRequest { page_size: 1, ..Default::default() };
    client.make(&LIST_CHANGES, &first).unwrap().compacted_revision
}

fn compaction_overtakes_watchers(store: Box<dyn Store>) {
    let server = TestServer::with(store, short_history(400));
    let workload = &Workload::with_log_keeper(&server.address, 300).with_purges();
    let watchers = &laggards();
    let (answers, goal, recorded, log) = thread::scope(|scope| {
        let log = scope.spawn(|| LogKeeper::new(workload).keep());
        let watching: Vec<_> =
            watchers.iter().map(|profile| scope.spawn(|| workload.follow(profile))).collect();
        let answers = write_at_once(workload, 6_000);
        let goal = workload.finish();
        let recorded: Vec<_> = watching.into_iter().map(|w| w.join().unwrap()).collect();
        (answers, goal, recorded, log.join().unwrap().log())
    });
    assert!(log.compacted > 1_000, "it was compacted to {}", log.compacted);
    check_answers(&log, &answers);
    for (profile, recordings) in watchers.iter().zip(&recorded) {
        check(&log, profile, recordings, goal);
    }
    let out_of_range = |recording: &&Recording| {
        recording.end.as_ref().is_some_and(|(code, _)| *code == RpcStatusCode::OUT_OF_RANGE)
    };
    let gone = recorded.iter().flatten().filter(out_of_range).count();
    assert!(gone > 0, "no watcher lost its history: the test tests nothing");
}

#[test]
fn compaction_during_catch_up_is_an_error_and_never_a_gap_in_memory() {
    compaction_overtakes_watchers(in_memory());
}

#[test]
fn compaction_during_catch_up_is_an_error_and_never_a_gap_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    compaction_overtakes_watchers(Box::new(SqliteStore::open(dir.path()).unwrap()));
}

/// A watch cannot continue from a pinned snapshot whose later history was compacted: a new
/// watch gets a newer snapshot.
#[test]
fn slow_snapshots_do_not_keep_others_from_recovering() {
    let server = TestServer::with(in_memory(), short_history(100));
    let client = server.client();
    add_many(&server.address, 1_000, &"x".repeat(500));
    let env = environment();
    let request =
        WatchTasksRequest { snapshot: true, filter: Filter::ANY.into(), ..Default::default() };
    let open = || Stream::open_lazy(&raw_in(&env, &server.address, narrow), &request);
    let slow: Vec<_> = (1..=PINNED_SNAPSHOTS_MAX as i32)
        .map(|id| {
            let stream = open();
            assert_eq!(stream.update().action, "RESET");
            client.edit(id, Edit::Complete).unwrap();
            stream
        })
        .collect();
    let tasks = 1_000 + more_than_memory(&server);
    until("their history is compacted", || compacted(&client) > 2_000);
    let messages = open().up_to("SYNCED");
    assert_eq!(messages.last().unwrap().revision, client.revision());
    assert_eq!(messages.len(), tasks + 2, "RESET, the tasks, SYNCED");
    drop(slow);
}

/// The error names the oldest revision that can be resumed from, and the one before it fails.
#[test]
fn out_of_range_names_the_oldest_revision_that_is_kept() {
    let server = TestServer::with(in_memory(), short_history(100));
    let client = server.client();
    add_many(&server.address, 1_000, "task");
    until("history is compacted", || compacted(&client) == 900);
    let env = environment();
    let watch = |after: i64| {
        let filter = Filter::ANY.into();
        let request =
            WatchTasksRequest { after_revision: Some(after), filter, ..Default::default() };
        Stream::open(&raw_in(&env, &server.address, narrow), &request)
    };
    assert_eq!(watch(900).up_to("SYNCED").len(), 101);
    for asked in [0, 899] {
        let (code, why) = watch(asked).end();
        assert_eq!(code, RpcStatusCode::OUT_OF_RANGE);
        assert!(why.contains("history up to revision 900 was compacted"), "{why}");
    }
}

/// The client stopped reading, and what it would read next was compacted: it receives what
/// was already sent, then the error.
fn a_watcher_stalls_while_history_is_compacted(store: Box<dyn Store>) {
    let server = TestServer::with(store, short_history(1_000));
    let client = server.client();
    client.add("first").unwrap();
    let request = WatchTasksRequest {
        after_revision: Some(0),
        filter: Filter::ANY.into(),
        ..Default::default()
    };
    let connection = raw_in(&environment(), &server.address, narrow);
    let sleeper = Stream::open_lazy(&connection, &request);
    let mut messages = sleeper.up_to("SYNCED");
    for _ in 0..2 {
        more_than_memory(&server);
    }
    until("history is compacted", || compacted(&client) > client.revision() - 2_000);
    let end = loop {
        match sleeper.message() {
            Ok(update) => messages.push(update),
            Err(end) => break end,
        }
    };
    assert_eq!(end.code(), RpcStatusCode::OUT_OF_RANGE);
    let received = messages.iter().filter(|update| update.action == "ADDED");
    let received: Vec<_> = received.map(|update| update.revision).collect();
    let last = received.len() as i64;
    assert_eq!(received, (1..=last).collect::<Vec<_>>());
    let said = end.message().split_once("history up to revision ").unwrap().1;
    let (from, rest) = said.split_once(" was compacted, ").unwrap();
    let asked = format!("but was requested from revision {last}:");
    assert!(rest.starts_with(&asked), "{end:?}: it got {last}");
    // The compacted revision when the stream got there.
    let from: i64 = from.parse().unwrap();
    assert!((last + 1..=compacted(&client)).contains(&from), "{end:?}");
    // One call recovers.
    let request =
        WatchTasksRequest { after_revision: Some(last), snapshot: true, ..request.clone() };
    let again = Stream::open(&connection, &request).up_to("SYNCED");
    assert_eq!(again[0].action, "RESET");
    assert_eq!(again.len() as i64 - 2, client.revision());
}

#[test]
fn a_stalled_watcher_gets_an_error_that_says_where_history_begins() {
    let dir = tempfile::tempdir().unwrap();
    a_watcher_stalls_while_history_is_compacted(in_memory());
    a_watcher_stalls_while_history_is_compacted(Box::new(SqliteStore::open(dir.path()).unwrap()));
}

/// The change log in memory may still hold compacted changes: every call refuses them all
/// the same.
#[test]
fn compacted_changes_that_are_in_memory_are_refused() {
    let server = TestServer::with(in_memory(), short_history(5));
    let client = server.client();
    add_many(&server.address, 30, "task");
    until("all but five changes are compacted", || compacted(&client) == 25);
    for request in [
        ListChangesRequest { after_revision: Some(0), ..Default::default() },
        ListChangesRequest { after_revision: Some(24), ..Default::default() },
        ListChangesRequest { up_to_revision: Some(24), ..Default::default() },
    ] {
        let refused = client.make(&LIST_CHANGES, &request).unwrap_err();
        assert_eq!(refused.code, todo::client::Code::OutOfRange, "{request}: {refused}");
    }
    let kept = ListChangesRequest { after_revision: Some(25), ..Default::default() };
    let kept = client.make(&LIST_CHANGES, &kept).unwrap().changes;
    assert!(kept.iter().map(|change| change.revision).eq(26..=30));
}
