//! The same workload for minutes, or hours: nothing leaks, and nothing is lost.

use std::thread;
use std::time::{Duration, Instant};

use todo::limits::READER_THREADS;

use crate::checker::Recording;
use crate::daemon::Daemon;
use crate::follow::{WatcherProfile, check};
use crate::harness::{Calls, client, until};
use crate::past::list_until_the_end;
use crate::promises::write_at_once;
use crate::workload::{FILTERS, LogKeeper, Workload, check_answers};

/// The duration: TODO_TEST_SOAK_SECONDS, by default 120.
fn soak_time() -> Duration {
    let seconds = std::env::var("TODO_TEST_SOAK_SECONDS");
    Duration::from_secs(seconds.map_or(120, |seconds| seconds.parse().unwrap()))
}

/// History so short that compaction always runs, and a short stall timeout.
const OPTIONS: [&str; 6] = [
    "--history-revisions",
    "1000",
    "--history-revisions-max",
    "1000",
    "--watch-stall-timeout",
    "1s",
];
const TASKS: i32 = 500;
const CHANGES_PER_ROUND: usize = 3_000;
/// SQLite restarts the WAL after 4 MiB, unless readers prevent it.
const WAL_BYTES_MAX: u64 = 32 * 1024 * 1024;

fn watchers(workload: &Workload, round: u64) -> Vec<WatcherProfile> {
    let mut watchers = Vec::new();
    for (filter, seed) in FILTERS.into_iter().zip(100 * round..) {
        let mut steady = WatcherProfile::new(filter, seed).after(workload.newest());
        steady.request.max_updates_per_message = 100;
        let mut resuming = WatcherProfile { seed: seed + 10, ..steady.clone() };
        resuming.hangs_up = true;
        let mut stalling = WatcherProfile::new(filter, seed + 20).with_snapshot();
        stalling.stalls_for = 1_500;
        stalling.falls_back = true;
        stalling.request.progress_interval_ms = 100;
        let mut coming = WatcherProfile::new(filter, seed + 30).with_snapshot();
        coming.hangs_up = true;
        coming.falls_back = true;
        watchers.extend([steady, resuming, stalling, coming]);
    }
    watchers
}

/// Runs writers, watchers and readers of old lists together; checks everything they received.
fn round(address: &str, round: u64) {
    let workload = &Workload::going_on(address, 500, TASKS);
    let watchers = &watchers(workload, round);
    let (answers, goal, recorded, listings, log) = thread::scope(|scope| {
        let log = scope.spawn(|| LogKeeper::new(workload).keep());
        let watching: Vec<_> =
            watchers.iter().map(|profile| scope.spawn(|| workload.follow(profile))).collect();
        let listing =
            FILTERS.map(|filter| scope.spawn(move || list_until_the_end(workload, filter)));
        let answers = write_at_once(workload, CHANGES_PER_ROUND);
        let goal = workload.finish();
        let recorded: Vec<Vec<Recording>> =
            watching.into_iter().map(|watcher| watcher.join().unwrap()).collect();
        let listings = listing.map(|reader| reader.join().unwrap());
        (answers, goal, recorded, listings, log.join().unwrap().log())
    });
    check_answers(&log, &answers);
    for (profile, recordings) in watchers.iter().zip(&recorded) {
        check(&log, profile, recordings, goal);
    }
    for (filter, listings) in FILTERS.into_iter().zip(listings) {
        for (revision, listed) in listings {
            if log.is_told(revision) {
                assert_eq!(listed, log.tasks_at(revision, filter), "{filter:?} at {revision}");
            }
        }
    }
}

/// More than the transport needs.
const THREADS_MAX: usize = 64;

/// The names of the server's own threads; the transport starts and ends others on demand.
fn threads(daemon: &Daemon) -> Vec<String> {
    let tasks = daemon.proc("task").read_dir().unwrap().map(Result::unwrap);
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    let names = names.map(|name| name.trim().to_owned());
    let ours = ["grpc-poll-0", "pacer", "reader-0", "reader-1", "signals", "state"];
    let mut names: Vec<_> = names.filter(|name| ours.contains(&&**name)).collect();
    names.sort();
    names
}

#[test]
fn a_soak_leaves_nothing_behind_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path(), &OPTIONS);
    let wal = dir.path().join("todo.db-wal");
    // Each reader opens the write-ahead log when it first reads.
    let files = daemon.open_files() + READER_THREADS;
    client(&daemon.address).add("first").unwrap();
    let began = Instant::now();
    let (mut rounds, mut warm, mut wal_most) = (0, None, 0);
    while rounds < 3 || began.elapsed() < soak_time() {
        round(&daemon.address, rounds);
        rounds += 1;
        wal_most = wal_most.max(wal.metadata().unwrap().len());
        if warm.is_none() && began.elapsed() >= soak_time() / 3 {
            warm = Some(daemon.resident_kib());
        }
    }
    let (warm, end) = (warm.unwrap_or_else(|| daemon.resident_kib()), daemon.resident_kib());
    let revision = client(&daemon.address).revision();
    eprintln!("{rounds} rounds, {revision} changes: {warm} KiB, then {end} KiB; log {wal_most}");
    assert!(end <= warm + warm / 5 + 4_096, "memory grew from {warm} to {end} KiB");
    assert!(wal_most <= WAL_BYTES_MAX, "the write-ahead log grew to {wal_most} bytes");
    until("connections are closed", || daemon.open_files() <= files);
    let ours = ["grpc-poll-0", "pacer", "reader-0", "reader-1", "signals", "state"];
    assert_eq!(threads(&daemon), ours);
    let all = daemon.proc("task").read_dir().unwrap().count();
    assert!(all < THREADS_MAX, "{all} threads");
}
