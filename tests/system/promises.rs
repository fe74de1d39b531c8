//! The promises of a watch, under concurrent writers and badly behaved watchers. The checker
//! compares every message of every stream with the change log.

use std::thread;

use todo::state::Limits;
use todo::store::{MemoryStore, SqliteStore, Store};
use todo::wire::proto::Task;

use crate::change_log::Log;
use crate::checker::Recording;
use crate::follow::{WatcherProfile, check};
use crate::harness::TestServer;
use crate::workload::{FILTERS, Workload, check_answers};

const WRITERS: u64 = 3;

/// Runs writers and watchers together, then checks everything. Returns the recordings of
/// each watcher.
fn run(
    server: &TestServer,
    changes: usize,
    watchers: &[WatcherProfile],
) -> (Log, Vec<Vec<Recording>>) {
    run_with(server, watchers, |workload| write_at_once(workload, changes))
}

/// Writes with several clients.
pub fn write_at_once(workload: &Workload, changes: usize) -> Vec<Task> {
    thread::scope(|scope| {
        let writing: Vec<_> = (1..=WRITERS)
            .map(|seed| scope.spawn(move || workload.write(changes / WRITERS as usize, seed)))
            .collect();
        writing.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    })
}

fn run_with(
    server: &TestServer,
    watchers: &[WatcherProfile],
    write: impl FnOnce(&Workload) -> Vec<Task>,
) -> (Log, Vec<Vec<Recording>>) {
    let workload = &Workload::new(&server.address);
    workload.write(50, 99);
    let (answers, goal, recorded) = thread::scope(|scope| {
        let watching: Vec<_> =
            watchers.iter().map(|profile| scope.spawn(move || workload.follow(profile))).collect();
        let answers = write(workload);
        let goal = workload.finish();
        let recorded: Vec<_> = watching.into_iter().map(|w| w.join().unwrap()).collect();
        (answers, goal, recorded)
    });
    let log = Log::fetch(&server.client());
    check_answers(&log, &answers);
    for (profile, recordings) in watchers.iter().zip(&recorded) {
        check(&log, profile, recordings, goal);
    }
    (log, recorded)
}

/// A change log so short that every stream keeps lagging.
fn short_log() -> Limits {
    Limits { change_log_changes: 4, ..Limits::default() }
}

pub fn in_memory() -> Box<dyn Store> {
    Box::new(MemoryStore::new("test-list"))
}

/// Ordered, unique, lossless: for every filter, with every way to start.
#[test]
fn every_watcher_receives_every_change_that_concerns_it_once_and_in_order() {
    let mut watchers = Vec::new();
    for (filter, seed) in FILTERS.into_iter().zip(0..) {
        let steady = WatcherProfile::new(filter, seed);
        let mut packed = steady.clone().after(0);
        packed.request.max_updates_per_message = [0, 1, 3, 1_000, i32::MAX][seed as usize];
        let mut slow = steady.clone().after(7);
        slow.stalls_for = 1_000;
        slow.request.max_updates_per_message = packed.request.max_updates_per_message;
        slow.request.progress_interval_ms = 100;
        watchers.extend([packed, slow, steady.with_snapshot()]);
    }
    run(&TestServer::with(in_memory(), short_log()), 6_000, &watchers);
}

/// Resumable: a call may end after any message.
#[test]
fn a_watcher_that_hangs_up_anywhere_resumes_by_revision_and_misses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let on_disk: Box<dyn Store> = Box::new(SqliteStore::open(dir.path()).unwrap());
    for store in [in_memory(), on_disk] {
        let watchers: Vec<_> = FILTERS
            .into_iter()
            .zip(1..)
            .flat_map(|(filter, seed)| {
                let mut profile = WatcherProfile::new(filter, seed).after(0);
                profile.hangs_up = true;
                let mut falling_back = profile.clone().with_snapshot();
                falling_back.falls_back = true;
                falling_back.stalls_for = 300;
                [profile, falling_back]
            })
            .collect();
        let (_, recorded) = run(&TestServer::with(store, short_log()), 3_000, &watchers);
        assert!(recorded.iter().any(|calls| calls.len() > 10), "they did hang up");
        let reset = |recording: &Recording| recording.messages.iter().any(|m| m.action == "RESET");
        assert!(!recorded.iter().flatten().any(reset), "all history was there");
    }
}

/// Bookmarkable: a client that resumes only from SYNCED and PROGRESS misses nothing, and
/// receives nothing twice within a call. Rare changes make for many such messages.
#[test]
fn synced_and_progress_are_positions_to_resume_from() {
    let mut watchers = Vec::new();
    for (filter, seed) in FILTERS.into_iter().zip(1..) {
        let mut profile = WatcherProfile::new(filter, seed).after(0);
        profile.request.progress_interval_ms = 100;
        profile.hangs_up = true;
        profile.trusts_marks_only = true;
        watchers.push(profile);
    }
    run_with(&TestServer::with(in_memory(), short_log()), &watchers, |workload| {
        let mut answers = Vec::new();
        for _ in 0..8 {
            answers.extend(write_at_once(workload, 300));
            workload.wait_for_progress(watchers.len() as i64);
        }
        answers
    });
}
