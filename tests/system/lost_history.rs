//! History is forgotten while watchers still need it: they are told so, and never
//! skip anything in silence.

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
use crate::follow::{Habits, check};
use crate::harness::{Calls, TestServer, until};
use crate::load::add_many;
use crate::promises::{in_memory, write_at_once};
use crate::stream::{Stream, environment, raw_in};
use crate::world::{FILTERS, LogKeeper, World, check_answers};

/// Keeps this many changes, and forgets older ones at once.
pub fn short_history(revisions: i64) -> Limits {
    let history = Retention { revisions, revisions_max: revisions, ..Retention::default() };
    Limits { change_log_changes: 4, retention: history, ..Limits::default() }
}

/// Watchers that are far behind, some of whom make do with the list as it is.
fn laggards() -> Vec<Habits> {
    let mut laggards = Vec::new();
    for (filter, seed) in FILTERS.into_iter().zip(1..) {
        let mut habits = Habits::new(filter, seed).after(0);
        habits.stalls_for = 900;
        habits.request.max_updates_per_message = 5;
        habits.hangs_up = seed % 2 == 0;
        let mut falling_back = Habits { seed: seed + 10, ..habits.clone() }.with_snapshot();
        falling_back.falls_back = true;
        falling_back.hangs_up = true;
        laggards.extend([habits, falling_back]);
    }
    laggards
}

/// Adds more tasks than there are changes in memory. Returns how many.
fn more_than_memory(server: &TestServer) -> usize {
    let tasks = CHANGE_LOG_CHANGES_MAX + 5_000;
    // So long that the transport's window fills.
    add_many(&server.address, tasks, &"x".repeat(200));
    tasks
}

pub fn compacted(client: &Client) -> i64 {
    let first = ListChangesRequest { page_size: 1, ..Default::default() };
    client.make(&LIST_CHANGES, &first).unwrap().compacted_revision
}

fn compaction_overtakes_watchers(store: Box<dyn Store>) {
    let server = TestServer::with(store, short_history(400));
    let world = &World::with_log_keeper(&server.address, 300).with_purges();
    let watchers = &laggards();
    let (answers, goal, recorded, log) = thread::scope(|scope| {
        let log = scope.spawn(|| LogKeeper::new(world).keep());
        let watching: Vec<_> =
            watchers.iter().map(|habits| scope.spawn(|| world.follow(habits))).collect();
        let answers = write_at_once(world, 6_000);
        let goal = world.finish();
        let recorded: Vec<_> = watching.into_iter().map(|w| w.join().unwrap()).collect();
        (answers, goal, recorded, log.join().unwrap().log())
    });
    assert!(log.compacted > 1_000, "it was compacted to {}", log.compacted);
    check_answers(&log, &answers);
    for (habits, recordings) in watchers.iter().zip(&recorded) {
        check(&log, habits, recordings, goal);
    }
    let out_of_range = |recording: &&Recording| {
        recording.end.as_ref().is_some_and(|(code, _)| *code == RpcStatusCode::OUT_OF_RANGE)
    };
    let gone = recorded.iter().flatten().filter(out_of_range).count();
    assert!(gone > 0, "nobody's history was gone: the test does not test");
}

#[test]
fn compaction_during_catch_up_is_told_and_never_a_silent_gap_in_memory() {
    compaction_overtakes_watchers(in_memory());
}

#[test]
fn compaction_during_catch_up_is_told_and_never_a_silent_gap_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    compaction_overtakes_watchers(Box::new(SqliteStore::open(dir.path()).unwrap()));
}

/// A snapshot that began with a list whose history is gone by now could not be
/// continued: whoever comes now gets one that can.
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
    until("their history is gone", || compacted(&client) > 2_000);
    let messages = open().up_to("SYNCED");
    assert_eq!(messages.last().unwrap().revision, client.revision());
    assert_eq!(messages.len(), tasks + 2, "RESET, the tasks, SYNCED");
    drop(slow);
}

/// The oldest revision that is left is named, and works; the one before it does not.
#[test]
fn out_of_range_names_the_oldest_revision_that_is_left() {
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

/// It stopped reading, and what it would have to read next is in no memory and on no
/// disk: it is sent what was on its way, then the end.
fn a_watcher_that_slept_too_long(store: Box<dyn Store>) {
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
    // As it was when the watcher came to it.
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
fn a_watcher_that_slept_too_long_is_told_where_history_begins() {
    let dir = tempfile::tempdir().unwrap();
    a_watcher_that_slept_too_long(in_memory());
    a_watcher_that_slept_too_long(Box::new(SqliteStore::open(dir.path()).unwrap()));
}

/// The newest changes are in memory, too, also those that were compacted away: what is
/// kept has one border, whoever asks.
#[test]
fn what_memory_still_holds_is_gone_all_the_same() {
    let server = TestServer::with(in_memory(), short_history(5));
    let client = server.client();
    add_many(&server.address, 30, "task");
    until("all but five changes are forgotten", || compacted(&client) == 25);
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
