//! The server is stopped or killed under load, again and again.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread;

use rustix::process::Signal;

use crate::daemon::Daemon;
use crate::follow::{WatcherProfile, check};
use crate::harness::until;
use crate::promises::write_at_once;
use crate::workload::{FILTERS, LogKeeper, Workload, check_answers};

/// Changes between two restarts.
const LIFE: i64 = 150;
const LIVES: i64 = 10;

fn watchers() -> Vec<WatcherProfile> {
    let mut watchers = Vec::new();
    for (filter, seed) in FILTERS.into_iter().zip(1..) {
        let mut steady = WatcherProfile::new(filter, seed).after(0);
        steady.request.progress_interval_ms = 100;
        let mut bad = WatcherProfile::new(filter, seed + 10).with_snapshot();
        bad.stalls_for = 2 * LIFE;
        bad.hangs_up = true;
        bad.falls_back = true;
        bad.request.max_updates_per_message = 10;
        watchers.extend([steady, bad]);
    }
    watchers
}

/// Stops or kills the server after some changes, and restarts it, many times.
fn restart_often(workload: &Workload, start: impl Fn() -> Daemon) -> Daemon {
    let mut daemon = start();
    for life in 1..=LIVES {
        until("some changes are made", || workload.newest() >= life * LIFE);
        daemon.signal(if life % 3 == 0 { Signal::TERM } else { Signal::KILL });
        daemon.wait();
        daemon = start();
        workload.restarts.fetch_add(1, Ordering::SeqCst);
    }
    daemon
}

fn nothing_is_lost_over_restarts(dir: &Path, options: &[&str]) {
    let address = format!("unix:{}", dir.join("s").display());
    let mut args = vec!["--listen", &address];
    args.extend(options);
    let workload = &Workload::with_log_keeper(&address, 200).with_purges();
    let watchers = &watchers();
    // Some requests get no answer, or change nothing.
    let changes = 3 * (LIVES * LIFE) as usize;
    let (_daemon, answers, goal, recorded, log) = thread::scope(|scope| {
        let first = Daemon::start(&dir.join("data"), &args);
        workload.write(1, 99);
        drop(first);
        let daemon =
            scope.spawn(|| restart_often(workload, || Daemon::start(&dir.join("data"), &args)));
        let log = scope.spawn(|| LogKeeper::new(workload).keep());
        let watching: Vec<_> =
            watchers.iter().map(|profile| scope.spawn(|| workload.follow(profile))).collect();
        let answers = write_at_once(workload, changes);
        let daemon = daemon.join().unwrap();
        let goal = workload.finish();
        let recorded: Vec<_> = watching.into_iter().map(|w| w.join().unwrap()).collect();
        (daemon, answers, goal, recorded, log.join().unwrap().log())
    });
    check_answers(&log, &answers);
    for (profile, recordings) in watchers.iter().zip(&recorded) {
        check(&log, profile, recordings, goal);
    }
    assert!(recorded.iter().all(|calls| calls.len() > 1), "every watcher lost the server");
}

#[test]
fn watchers_and_writers_lose_nothing_when_the_server_is_killed_again_and_again() {
    let dir = tempfile::tempdir().unwrap();
    nothing_is_lost_over_restarts(dir.path(), &[]);
}

#[test]
fn watchers_and_writers_lose_nothing_over_restarts_while_history_is_compacted() {
    let dir = tempfile::tempdir().unwrap();
    let short = ["--history-revisions", "300", "--history-revisions-max", "500"];
    nothing_is_lost_over_restarts(dir.path(), &[&short[..], &["--history-age", "1ms"]].concat());
}
