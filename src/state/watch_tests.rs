//! The sending and the receiving end of watches, without a transport.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded, unbounded};

use super::tests::DEADLINE;
use super::{
    Begin, Command, HistoryReader, Hooks, Limits, Next, Reply, StateHandle, StateThread,
    Subscription, WatchFrom, WatchStart, spawn,
};
use crate::model::{Change, Filter, Guard, Mutation, Rejection, Revision, Timestamp, Title};
use crate::store::{ChangeRange, MemoryStore};

type Revisions = Vec<Revision>;

struct Scene {
    state: StateHandle<Revisions>,
    thread: StateThread,
    history: HistoryReader,
    /// Whether streams are being woken.
    delivering: Arc<AtomicBool>,
}

struct Watch {
    subscription: Subscription<Revisions>,
    notified: Receiver<()>,
}

impl Scene {
    fn start(limits: Limits) -> Scene {
        let delivering = Arc::new(AtomicBool::new(false));
        let asked = delivering.clone();
        let hooks = Hooks {
            encode: |changes| changes.iter().map(|change| change.revision()).collect(),
            delivering: Box::new(move || asked.load(Ordering::SeqCst)),
            turn_done: Box::new(|| {}),
            clock: || Timestamp(0),
        };
        let store = Box::new(MemoryStore::new("l"));
        let (state, thread, history) = spawn(store, limits, hooks).unwrap();
        Scene { state, thread, history, delivering }
    }

    fn add(&self) -> Revision {
        let (reply, answer) = bounded(1);
        let mutation = Mutation::Add { title: Title::new("t").unwrap() };
        let (guard, reply) = (Guard::default(), Reply::new(reply));
        assert!(self.state.submit(Command::Mutate { mutation, guard, reply }));
        answer.recv_timeout(DEADLINE).unwrap().unwrap().revision
    }

    fn watch(&self, from: WatchFrom) -> Result<Watch, Rejection> {
        self.watch_with(WatchStart { filter: Filter::Any, from, progress: None })
    }

    fn watch_with(&self, start: WatchStart) -> Result<Watch, Rejection> {
        let (notify, notified) = unbounded();
        let (reply, answer) = bounded(1);
        let notify = Box::new(move || _ = notify.send(()));
        let reply = Reply::new(reply);
        assert!(self.state.submit(Command::Watch { start, notify, reply }));
        let subscription = answer.recv_timeout(DEADLINE).unwrap()?;
        Ok(Watch { subscription, notified })
    }
}

impl Watch {
    /// What comes next; waits for it.
    fn next(&self) -> Next<Revisions> {
        loop {
            match self.subscription.next() {
                Next::Nothing => self.notified.recv_timeout(DEADLINE).expect("something comes"),
                next => return next,
            }
        }
    }

    fn burst(&self) -> (Revisions, Revision) {
        match self.next() {
            Next::Burst(revisions, up_to) => (revisions, up_to),
            _ => panic!("not a burst"),
        }
    }
}

#[test]
fn what_comes_while_streams_are_being_woken_is_one_burst() {
    let scene = Scene::start(Limits::default());
    let watch = scene.watch(WatchFrom::Now).unwrap();
    scene.add();
    assert_eq!(watch.burst(), (vec![1], 1));
    scene.delivering.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        scene.add();
    }
    assert!(matches!(watch.subscription.next(), Next::Nothing));
    assert_eq!(scene.history.published(), 1, "nobody is told before");
    scene.delivering.store(false, Ordering::SeqCst);
    assert_eq!(watch.burst(), (vec![2, 3, 4], 4));
    scene.thread.stop().unwrap();
}

#[test]
fn a_watch_that_registers_gets_what_was_pending_from_history_and_not_twice() {
    let scene = Scene::start(Limits::default());
    let early = scene.watch(WatchFrom::Now).unwrap();
    scene.delivering.store(true, Ordering::SeqCst);
    scene.add();
    scene.add();
    let revision = 1;
    let from = WatchFrom::After { revision, list_id: String::new(), else_snapshot: false };
    let late = scene.watch(from).unwrap();
    assert!(matches!(late.subscription.begin, Begin::History(1)));
    assert_eq!(late.subscription.joined(), 2);
    assert_eq!(early.burst(), (vec![1, 2], 2));
    scene.delivering.store(false, Ordering::SeqCst);
    scene.add();
    assert_eq!(late.burst(), (vec![3], 3));
    scene.thread.stop().unwrap();
}

#[test]
fn a_full_channel_closes_and_history_leads_to_the_next_one() {
    let mut scene = Scene::start(Limits { watch_queue_max: 2, ..Limits::default() });
    let mut slow = scene.watch(WatchFrom::Now).unwrap();
    for _ in 0..5 {
        scene.add();
    }
    // What waited is forgotten: history has it, too.
    assert!(matches!(slow.next(), Next::Behind));
    slow.subscription.rejoin();
    let joined = loop {
        match slow.subscription.rejoined() {
            Some(at) => break at,
            None => slow.notified.recv_timeout(DEADLINE).unwrap(),
        }
    };
    assert_eq!(joined, 5);
    let range = ChangeRange { after: 0, up_to: joined, task: None, complete: true, max: 100 };
    let missed = scene.history.changes(&range).unwrap();
    assert!(missed.iter().map(Change::revision).eq(1..=5));
    scene.add();
    assert_eq!(slow.burst(), (vec![6], 6));
    scene.thread.stop().unwrap();
}

#[test]
fn progress_comes_when_nothing_else_does() {
    let scene = Scene::start(Limits::default());
    let start = WatchStart {
        filter: Filter::Deleted,
        progress: Some(Duration::from_millis(1)),
        ..WatchStart::default()
    };
    let watch = scene.watch_with(start).unwrap();
    scene.add();
    loop {
        match watch.next() {
            Next::Progress(1) => break,
            Next::Progress(0) => {}
            _ => panic!("nothing concerns it"),
        }
    }
    scene.thread.stop().unwrap();
}

#[test]
fn only_a_client_that_does_not_take_what_is_there_is_cut_off() {
    let watch_stall_timeout = Duration::from_millis(20);
    let scene = Scene::start(Limits { watch_stall_timeout, ..Limits::default() });
    let idle = scene.watch(WatchFrom::Now).unwrap();
    let reading = scene.watch(WatchFrom::Now).unwrap();
    let stalled = scene.watch(WatchFrom::Now).unwrap();
    stalled.subscription.client_reads(false);
    loop {
        reading.subscription.client_reads(false);
        reading.subscription.client_reads(true);
        if let Some(end) = stalled.subscription.cut_off() {
            assert_eq!(end.why, Rejection::WatcherStalled { seconds: 0 });
            break;
        }
        stalled.notified.recv_timeout(Duration::from_millis(1)).unwrap_or_default();
    }
    for watch in [idle, reading] {
        assert!(watch.subscription.ended().is_none());
    }
    scene.thread.stop().unwrap();
}

#[test]
fn what_is_committed_is_published_even_if_streams_are_woken_without_end() {
    let scene = Scene::start(Limits::default());
    let watch = scene.watch(WatchFrom::Now).unwrap();
    scene.delivering.store(true, Ordering::SeqCst);
    scene.add();
    assert_eq!(watch.burst(), (vec![1], 1));
    scene.thread.stop().unwrap();
}
