//! The server ends in the middle, in order or by kill -9, again and again.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread;

use rustix::process::Signal;

use crate::daemon::Daemon;
use crate::follow::{Habits, check};
use crate::harness::until;
use crate::promises::write_at_once;
use crate::world::{FILTERS, LogKeeper, World, check_answers};

/// Changes between two ends.
const LIFE: i64 = 150;
const LIVES: i64 = 10;

fn watchers() -> Vec<Habits> {
    let mut watchers = Vec::new();
    for (filter, seed) in FILTERS.into_iter().zip(1..) {
        let mut steady = Habits::new(filter, seed).after(0);
        steady.request.progress_interval_ms = 100;
        let mut bad = Habits::new(filter, seed + 10).with_snapshot();
        bad.stalls_for = 2 * LIFE;
        bad.hangs_up = true;
        bad.falls_back = true;
        bad.request.max_updates_per_message = 10;
        watchers.extend([steady, bad]);
    }
    watchers
}

/// Ends the server after some changes, and starts it again, until there were enough.
fn restart_often(world: &World, start: impl Fn() -> Daemon) -> Daemon {
    let mut daemon = start();
    for life in 1..=LIVES {
        until("some changes are made", || world.newest() >= life * LIFE);
        daemon.signal(if life % 3 == 0 { Signal::TERM } else { Signal::KILL });
        daemon.wait();
        daemon = start();
        world.restarts.fetch_add(1, Ordering::SeqCst);
    }
    daemon
}

fn nothing_is_lost_over_restarts(dir: &Path, options: &[&str]) {
    let address = format!("unix:{}", dir.join("s").display());
    let mut args = vec!["--listen", &address];
    args.extend(options);
    let world = &World::with_log_keeper(&address, 200).with_purges();
    let watchers = &watchers();
    // Some of the changes are not answered, or change nothing.
    let changes = 3 * (LIVES * LIFE) as usize;
    let (_daemon, answers, goal, recorded, log) = thread::scope(|scope| {
        let first = Daemon::start(&dir.join("data"), &args);
        world.write(1, 99);
        drop(first);
        let daemon =
            scope.spawn(|| restart_often(world, || Daemon::start(&dir.join("data"), &args)));
        let log = scope.spawn(|| LogKeeper::new(world).keep());
        let watching: Vec<_> =
            watchers.iter().map(|habits| scope.spawn(|| world.follow(habits))).collect();
        let answers = write_at_once(world, changes);
        let daemon = daemon.join().unwrap();
        let goal = world.finish();
        let recorded: Vec<_> = watching.into_iter().map(|w| w.join().unwrap()).collect();
        (daemon, answers, goal, recorded, log.join().unwrap().log())
    });
    check_answers(&log, &answers);
    for (habits, recordings) in watchers.iter().zip(&recorded) {
        check(&log, habits, recordings, goal);
    }
    assert!(recorded.iter().all(|calls| calls.len() > 1), "everybody lost the server");
}

#[test]
fn watchers_and_writers_lose_nothing_when_the_server_is_killed_again_and_again() {
    let dir = tempfile::tempdir().unwrap();
    nothing_is_lost_over_restarts(dir.path(), &[]);
}

#[test]
fn nor_while_history_is_compacted() {
    let dir = tempfile::tempdir().unwrap();
    let short = ["--history-revisions", "300", "--history-revisions-max", "500"];
    nothing_is_lost_over_restarts(dir.path(), &[&short[..], &["--history-age", "1ms"]].concat());
}
