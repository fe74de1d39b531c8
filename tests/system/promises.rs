//! What a watch promises, under writers that do everything and watchers that do what
//! they should not. The checker compares all that anybody was sent with the change log.

use std::thread;

use todo::state::Limits;
use todo::store::{MemoryStore, SqliteStore, Store};
use todo::wire::proto::Task;

use crate::change_log::Log;
use crate::checker::Recording;
use crate::follow::{Habits, check};
use crate::harness::TestServer;
use crate::world::{FILTERS, World, check_answers};

const WRITERS: u64 = 3;

/// Writers and watchers at once; then everything is checked. Returns what each watcher
/// was sent.
fn run(server: &TestServer, changes: usize, watchers: &[Habits]) -> (Log, Vec<Vec<Recording>>) {
    run_with(server, watchers, |world| write_at_once(world, changes))
}

/// By several clients.
pub fn write_at_once(world: &World, changes: usize) -> Vec<Task> {
    thread::scope(|scope| {
        let writing: Vec<_> = (1..=WRITERS)
            .map(|seed| scope.spawn(move || world.write(changes / WRITERS as usize, seed)))
            .collect();
        writing.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    })
}

fn run_with(
    server: &TestServer,
    watchers: &[Habits],
    write: impl FnOnce(&World) -> Vec<Task>,
) -> (Log, Vec<Vec<Recording>>) {
    let world = &World::new(&server.address);
    world.write(50, 99);
    let (answers, goal, recorded) = thread::scope(|scope| {
        let watching: Vec<_> =
            watchers.iter().map(|habits| scope.spawn(move || world.follow(habits))).collect();
        let answers = write(world);
        let goal = world.finish();
        let recorded: Vec<_> = watching.into_iter().map(|w| w.join().unwrap()).collect();
        (answers, goal, recorded)
    });
    let log = Log::fetch(&server.client());
    check_answers(&log, &answers);
    for (habits, recordings) in watchers.iter().zip(&recorded) {
        check(&log, habits, recordings, goal);
    }
    (log, recorded)
}

/// Queues so short that everybody falls behind all the time.
fn short_queues() -> Limits {
    Limits { change_log_changes: 4, ..Limits::default() }
}

pub fn in_memory() -> Box<dyn Store> {
    Box::new(MemoryStore::new("test-list"))
}

/// Ordered, unique, lossless: for every filter, with every way to begin.
#[test]
fn every_watcher_is_sent_every_change_that_concerns_it_once_and_in_order() {
    let mut watchers = Vec::new();
    for (filter, seed) in FILTERS.into_iter().zip(0..) {
        let steady = Habits::new(filter, seed);
        let mut packed = steady.clone().after(0);
        packed.request.max_updates_per_message = [0, 1, 3, 1_000, i32::MAX][seed as usize];
        let mut slow = steady.clone().after(7);
        slow.stalls_for = 1_000;
        slow.request.max_updates_per_message = packed.request.max_updates_per_message;
        slow.request.progress_interval_ms = 100;
        watchers.extend([packed, slow, steady.with_snapshot()]);
    }
    run(&TestServer::with(in_memory(), short_queues()), 6_000, &watchers);
}

/// Resumable: a call may end after any message.
#[test]
fn a_watcher_that_hangs_up_anywhere_goes_on_by_revision_and_misses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let on_disk: Box<dyn Store> = Box::new(SqliteStore::open(dir.path()).unwrap());
    for store in [in_memory(), on_disk] {
        let watchers: Vec<_> = FILTERS
            .into_iter()
            .zip(1..)
            .flat_map(|(filter, seed)| {
                let mut habits = Habits::new(filter, seed).after(0);
                habits.hangs_up = true;
                let mut falling_back = habits.clone().with_snapshot();
                falling_back.falls_back = true;
                falling_back.stalls_for = 300;
                [habits, falling_back]
            })
            .collect();
        let (_, recorded) = run(&TestServer::with(store, short_queues()), 3_000, &watchers);
        assert!(recorded.iter().any(|calls| calls.len() > 10), "they did hang up");
        let reset = |recording: &Recording| recording.messages.iter().any(|m| m.action == "RESET");
        assert!(!recorded.iter().flatten().any(reset), "all history was there");
    }
}

/// Bookmarkable: who goes on from marks alone misses nothing, and gets nothing twice
/// within a call. Rare tasks make for many marks.
#[test]
fn a_mark_is_a_place_to_resume_from() {
    let mut watchers = Vec::new();
    for (filter, seed) in FILTERS.into_iter().zip(1..) {
        let mut habits = Habits::new(filter, seed).after(0);
        habits.request.progress_interval_ms = 100;
        habits.hangs_up = true;
        habits.trusts_marks_only = true;
        watchers.push(habits);
    }
    run_with(&TestServer::with(in_memory(), short_queues()), &watchers, |world| {
        let mut answers = Vec::new();
        for _ in 0..8 {
            answers.extend(write_at_once(world, 300));
            world.wait_for_progress(watchers.len() as i64);
        }
        answers
    });
}
