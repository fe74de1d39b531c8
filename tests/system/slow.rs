//! Slow watchers: nobody waits for them, and their memory is limited. A client that does not
//! read at all is cut off; one that reads slowly, or has nothing to read, is not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::never;
use grpcio::RpcStatusCode;
use todo::client::Edit;
use todo::limits::{CHANGE_LOG_BYTES_MAX, UPDATE_BATCH_BYTES_MAX};
use todo::state::Limits;
use todo::store::MemoryStore;
use todo::wire::proto::*;

use crate::abuse::narrow;
use crate::daemon::Daemon;
use crate::harness::{self, DEADLINE, TestServer};
use crate::load::{add_many, retitle_many};
use crate::stream::{Stream, environment, raw_in};
use crate::workload::FILTERS;

fn after(revision: i64, filter: Filter) -> WatchTasksRequest {
    let filter = filter.into();
    WatchTasksRequest { after_revision: Some(revision), filter, ..Default::default() }
}

/// Each change is acknowledged, and received by the watchers that read, before the next one
/// is made: if they waited for the stalled ones, the test would hang.
#[test]
fn writers_and_other_watchers_never_wait_for_a_stalled_watcher() {
    let limits = Limits { change_log_changes: 64, ..Limits::default() };
    let server = TestServer::with(Box::new(MemoryStore::new("l")), limits);
    let client = server.client();
    let env = environment();
    let open =
        |filter| Stream::open_lazy(&raw_in(&env, &server.address, narrow), &after(0, filter));
    let stalled: Vec<_> = FILTERS.into_iter().chain(FILTERS).map(open).collect();
    let reading = FILTERS
        .map(|filter| Stream::open(&raw_in(&env, &server.address, narrow), &after(0, filter)));
    reading.iter().for_each(|stream| drop(stream.up_to("SYNCED")));
    let title = "x".repeat(1_000);
    for revision in 1..=2_000 {
        assert_eq!(client.add(&title).unwrap().revision, revision);
        for (stream, filter) in reading.iter().zip(FILTERS) {
            if !matches!(filter, Filter::COMPLETED | Filter::DELETED) {
                assert_eq!(stream.update().revision, revision);
            }
        }
    }
    for stream in stalled.iter().take(2) {
        for revision in 1..=2_000 {
            let mut update = stream.update();
            if update.action == "SYNCED" {
                update = stream.update();
            }
            assert_eq!(update.revision, revision, "and they miss nothing");
        }
    }
}

/// While a client that reads nothing is cut off, two timeouts pass: neither a client that
/// reads a little now and then nor one that has nothing to read is cut off.
#[test]
fn only_a_client_that_does_not_read_is_cut_off() {
    /// Messages between two pauses: the transport's window is emptied several times within a
    /// timeout.
    const READ_BETWEEN_PAUSES: usize = 20;
    const PAUSE: Duration = Duration::from_millis(100);
    /// Enough that the slow client lags until the test is over.
    const CHANGES: usize = 14_000;
    const PAUSES_MAX: usize = (DEADLINE.as_millis() / PAUSE.as_millis()) as usize;
    const { assert!(CHANGES > READ_BETWEEN_PAUSES * PAUSES_MAX) };
    let limits = Limits {
        watchers_max: 3,
        watch_stall_timeout: Duration::from_secs(5),
        ..Limits::default()
    };
    let server = TestServer::with(Box::new(MemoryStore::new("l")), limits);
    add_many(&server.address, CHANGES, &"x".repeat(1_000));
    let env = environment();
    let open = |request: &WatchTasksRequest| {
        Stream::open_lazy(&raw_in(&env, &server.address, narrow), request)
    };
    let idle = open(&after(0, Filter::DELETED));
    idle.up_to("SYNCED");
    let slow = open(&after(0, Filter::ANY));
    let stalled = open(&after(0, Filter::OPEN));
    assert_eq!((slow.update().revision, stalled.update().revision), (1, 1));
    let is_over = AtomicBool::new(false);
    let read = thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut read = 1;
            while !is_over.load(Ordering::SeqCst) {
                for _ in 0..READ_BETWEEN_PAUSES {
                    read += i64::from(slow.update().revision == read + 1);
                }
                let _ = never::<()>().recv_timeout(PAUSE);
            }
            read
        });
        harness::until(
            "one is cut off and its place is free",
            || matches!(open(&after(0, Filter::DELETED)).message(), Ok(synced) if synced.revision > 0),
        );
        is_over.store(true, Ordering::SeqCst);
        reading.join().unwrap()
    });
    assert!(read < CHANGES as i64, "it read slowly");
    for revision in read + 1..=CHANGES as i64 {
        assert_eq!(slow.update().revision, revision);
    }
    let end = loop {
        if let Err(end) = stalled.message() {
            break end;
        }
    };
    assert_eq!(end.code(), RpcStatusCode::RESOURCE_EXHAUSTED, "{end:?}");
    assert!(end.message().contains("did not read for 5 s"), "{end:?}");
    server.client().edit(1, Edit::Delete).unwrap();
    assert_eq!(idle.update().action, "DELETED");
}

/// A stalled watcher holds the one update batch that is being sent to it. Later changes are
/// in the change log, which has a limit, and then only in the store. A run without watchers
/// shows what everything else takes.
#[test]
fn memory_stays_bounded_however_far_watchers_lag() {
    const WATCHERS: usize = 50;
    const CHANGES: usize = 40_000;
    const FILTERED: [Filter; 3] = [Filter::ANY, Filter::LIVE, Filter::OPEN];
    // The longest title.
    const UPDATE_KIB: usize = 4;
    let title = "\u{1F4DD}".repeat(1_000);
    let peak_mib = |watchers: usize| {
        let dir = tempfile::tempdir().unwrap();
        let daemon = Daemon::start(dir.path(), &[]);
        let id = harness::client(&daemon.address).add("task").unwrap().id;
        let env = environment();
        let mut stalled = Vec::new();
        // One after the other, so that they stall at different positions.
        for part in 0..WATCHERS {
            if part < watchers {
                let filter = FILTERED[part % FILTERED.len()];
                let connection = raw_in(&env, &daemon.address, narrow);
                let stream = Stream::open_lazy(&connection, &after(part as i64, filter));
                stream.update();
                stalled.push(stream);
            }
            retitle_many(&daemon.address, id, CHANGES / WATCHERS, &title);
        }
        daemon.peak_memory_kib() as usize / 1_024
    };
    let mib = |updates: usize| updates * UPDATE_KIB / 1_024;
    let batches = WATCHERS * UPDATE_BATCH_BYTES_MAX / (1_024 * 1_024);
    // Records, tasks and encoded updates for each filter.
    let log = (2 + FILTERED.len()) * CHANGE_LOG_BYTES_MAX / (1_024 * 1_024);
    let unbounded = FILTERED.len() * mib(CHANGES);
    let most = (batches + log) * 5 / 4;
    assert!(most < unbounded, "{most} MiB would not show that memory is bounded");
    let (alone, watched) = (peak_mib(0), peak_mib(WATCHERS));
    assert!(watched < alone + most, "{watched} MiB with watchers, {alone} MiB without");
}
