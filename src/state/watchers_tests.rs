//! A watcher that falls behind while its stream takes updates: at any moment.

use std::thread;

use crossbeam_channel::unbounded;

use super::*;
use crate::model::{Task, Title};
use crate::state::Next;
use crate::state::tests::change;

#[test]
fn a_burst_ends_with_the_change_before_there_are_too_many_bytes_or_changes() {
    let titled = |bytes: usize| {
        let task =
            Task { title: Title::new(&"x".repeat(bytes)).unwrap(), ..(*change(1).task).clone() };
        Change { task: Arc::new(task), ..change(1) }
    };
    let fit = STRETCH_BYTES_MAX / (1_000 + UPDATE_BYTES);
    for (changes, length) in [
        (vec![titled(1)], 1),
        (vec![titled(1_000); fit + 1], fit),
        (vec![titled(1); BURST_CHANGES_MAX + 1], BURST_CHANGES_MAX),
    ] {
        assert_eq!(burst_length(&changes), length);
    }
}

#[test]
fn what_is_taken_beside_a_fall_behind_is_what_comes_next_or_nothing() {
    /// How often it is to fall behind. On a busy machine that takes many changes.
    const FALLS: usize = 500;
    let limits = Limits { watch_queue_max: 2, ..Limits::default() };
    let encode = |changes: &[&Change]| changes[0].revision();
    let (control, control_queue) = unbounded();
    let mut watchers = Watchers::new(limits, Arc::new(Recent::new(0)), encode, control);
    let list = TaskList::new("l".into(), [], 10);
    let start = WatchStart { filter: Filter::Any, ..WatchStart::default() };
    let mut subscription = watchers.add(start, Box::new(|| {}), &list, 0).unwrap();
    let stream = thread::spawn(move || {
        let (mut place, mut falls) = (0, 0);
        while falls < FALLS {
            match subscription.next() {
                Next::Burst(revision, up_to) => {
                    assert_eq!((revision, up_to), (place + 1, place + 1));
                    place = up_to;
                }
                Next::Behind => {
                    falls += 1;
                    subscription.rejoin();
                    // What is between is in the history.
                    place = loop {
                        if let Some(at) = subscription.rejoined() {
                            break at;
                        }
                        thread::yield_now();
                    };
                }
                Next::Progress(_) | Next::Nothing => thread::yield_now(),
                Next::End(why) => panic!("{why}"),
            }
        }
    });
    for revision in 1.. {
        watchers.take(vec![change(revision)], Instant::now());
        watchers.publish();
        match control_queue.try_recv() {
            Ok(Control::Rejoin { id, to }) => watchers.rejoin(id, &to),
            // The stream has ended, or it has failed.
            Ok(Control::Unwatch(_)) => break,
            Err(_) => {}
        }
    }
    stream.join().unwrap();
}
