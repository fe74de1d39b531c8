//! Watches and what is due at a time, with the state driven by hand: the test has the clock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded, unbounded};

use super::{add_request, answer, change, mutate};
use crate::limits::{SNAPSHOT_TAKEN_WITHIN, TRASH_STEP, WATCH_END_GRACE};
use crate::model::{Edit, Filter, Mutation, Request, Revision, Status, Timestamp};
use crate::state::actor::{Event, State};
use crate::state::log::{ChangeLog, EncodedUpdates, LogPublisher, Next};
use crate::state::published::{Published, PublishedList};
use crate::state::request_index::RequestIndex;
use crate::state::retention::{Compaction, Trash};
use crate::state::watchers::Watchers;
use crate::state::{
    Command, Hooks, Limits, Reply, Retention, Start, StateError, Subscription, Watch, WatchFrom,
    WatchStart,
};
use crate::store::{MemoryStore, RecordedChange, Store};

/// The revisions of updates, in place of messages.
struct Revisions(Vec<Revision>);

impl EncodedUpdates for Revisions {
    fn encode(_: Revision, changes: &[&RecordedChange]) -> Revisions {
        Revisions(changes.iter().map(|recorded| recorded.change.revision).collect())
    }

    fn concat(parts: &[Arc<Revisions>]) -> Revisions {
        Revisions(parts.iter().flat_map(|part| part.0.clone()).collect())
    }
}

struct Fixture {
    state: State,
    log: Arc<ChangeLog<Revisions>>,
    closed: Receiver<(Filter, u64)>,
    now: Instant,
}

struct TestWatch {
    subscription: Subscription,
    notified: Receiver<()>,
}

impl Fixture {
    fn new(limits: Limits) -> Fixture {
        let mut store = Box::new(MemoryStore::new("l"));
        let loaded = store.load().unwrap();
        let list = loaded.list(limits.tasks_max);
        let (publisher, log) = LogPublisher::new(0, limits.change_log_changes);
        let (closed, closed_queue) = unbounded();
        let published = PublishedList::new(Published { list: list.clone(), compacted: 0 });
        let watchers = Watchers::new(limits, Box::new(publisher), closed);
        let compaction = Compaction::new(limits.retention, 0);
        let trash = Trash::new(limits.retention.trash_age, [].into_iter(), Timestamp(0));
        let hooks = Hooks { flush: Box::new(|| {}), clock: || Timestamp(DAY_MICROS) };
        let state = State::new(
            list,
            store,
            RequestIndex::new(&loaded.requests, loaded.last_request),
            published,
            watchers,
            (compaction, trash),
            hooks,
        );
        Fixture { state, log, closed: closed_queue, now: Instant::now() }
    }

    fn command(&mut self, command: Command) {
        self.state.step(Event::Commands(VecDeque::from([command])), self.now).unwrap();
    }

    fn request(&mut self, request: Request) -> (i32, Revision) {
        let (command, reply) = mutate(request);
        self.command(command);
        answer(&reply).unwrap()
    }

    fn add(&mut self) -> Revision {
        self.request(add_request("t", "")).1
    }

    fn watch(&mut self, from: WatchFrom) -> Result<TestWatch, StateError> {
        self.watch_with(WatchStart { filter: Status::Any.into(), from, progress: None })
    }

    fn watch_with(&mut self, start: WatchStart) -> Result<TestWatch, StateError> {
        let (notify, notified) = unbounded();
        let (reply, subscribed) = bounded(1);
        let notify = Box::new(move || _ = notify.send(()));
        self.command(Command::Watch(Watch { start, notify, reply: Reply::new(reply) }));
        Ok(TestWatch { subscription: subscribed.recv().unwrap()?, notified })
    }

    /// Lets time pass, in one leap, and handles what is due then.
    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.state.step(Event::Deadline, self.now).unwrap();
    }

    /// What a stream at this position has next.
    fn after(&self, watch: &TestWatch, position: Revision) -> Vec<Revision> {
        let Subscription { filter, filter_since, .. } = &watch.subscription;
        match self.log.after(position, filter, *filter_since) {
            Next::Ready(updates, _) => updates.map_or(Vec::new(), |updates| updates.0.clone()),
            Next::CaughtUp => Vec::new(),
            Next::Evicted => panic!("evicted"),
        }
    }
}

const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

#[test]
fn a_stream_that_does_not_look_is_notified_once_and_finds_everything() {
    let mut fixture = Fixture::new(Limits::default());
    let watch = fixture.watch(WatchFrom::Now).unwrap();
    for _ in 0..4 {
        fixture.add();
    }
    assert_eq!(watch.notified.try_iter().count(), 1);
    assert_eq!(watch.subscription.take_notification(), None);
    let first = fixture.after(&watch, 0);
    assert!(first.iter().copied().eq(1..=first.len() as i64));
    fixture.add();
    assert_eq!(watch.notified.try_iter().count(), 1, "it has looked since");
    assert_eq!(fixture.after(&watch, 4), [5]);
}

#[test]
fn only_watchers_that_a_batch_concerns_are_notified() {
    let mut fixture = Fixture::new(Limits::default());
    let start = |status: Status| WatchStart { filter: status.into(), ..WatchStart::default() };
    let deleted = fixture.watch_with(start(Status::Deleted)).unwrap();
    let live = fixture.watch_with(start(Status::Live)).unwrap();
    fixture.add();
    assert!(deleted.notified.is_empty());
    assert_eq!(live.notified.try_iter().count(), 1);
    assert_eq!(fixture.after(&deleted, 0), [0; 0]);
    fixture.request(Mutation::Edit { id: 1, edit: Edit::Delete }.into());
    assert_eq!(deleted.notified.try_iter().count(), 1);
    assert_eq!(fixture.after(&deleted, 1), [2]);
}

#[test]
fn a_watch_starts_where_it_asks_or_says_why_not() {
    let mut fixture = Fixture::new(Limits::default());
    for _ in 0..3 {
        fixture.add();
    }
    let after = |revision, list_id: &str, else_snapshot| WatchFrom::After {
        revision,
        list_id: list_id.to_owned(),
        else_snapshot,
    };
    let other = || StateError::OtherList { asked: "x".into(), actual: "l".into() };
    for (from, start) in [
        (WatchFrom::Now, Ok(3)),
        (after(0, "", false), Ok(0)),
        (after(3, "l", false), Ok(3)),
        (after(4, "", false), Err(StateError::RevisionInFuture { asked: 4, current: 3 })),
        (after(1, "x", false), Err(other())),
    ] {
        let watch = fixture.watch(from.clone());
        match start {
            Ok(revision) => {
                let watch = watch.unwrap();
                assert!(matches!(watch.subscription.start, Start::After(r) if r == revision));
                assert_eq!(watch.subscription.registered, 3);
            }
            Err(why) => assert_eq!(watch.err(), Some(why), "{from:?}"),
        }
    }
    for from in [WatchFrom::Snapshot, after(4, "", true), after(1, "x", true)] {
        let watch = fixture.watch(from).unwrap();
        let Start::Snapshot(published) = &watch.subscription.start else { panic!("a snapshot") };
        assert_eq!(published.list.revision(), 3);
    }
}

#[test]
fn progress_is_requested_when_nothing_concerns_the_filter() {
    let mut fixture = Fixture::new(Limits::default());
    let progress = Some(Duration::from_secs(1));
    let start = WatchStart { filter: Status::Deleted.into(), progress, ..WatchStart::default() };
    let watch = fixture.watch_with(start).unwrap();
    fixture.add();
    assert!(!watch.subscription.take_progress_due());
    fixture.pass(Duration::from_millis(999));
    assert!(!watch.subscription.take_progress_due(), "it is not time");
    fixture.pass(Duration::from_millis(1));
    assert_eq!(watch.notified.try_iter().count(), 1);
    assert_eq!(watch.subscription.take_notification(), None);
    assert!(watch.subscription.take_progress_due());
    assert!(!watch.subscription.take_progress_due(), "once");
    // An update is progress, too.
    fixture.pass(Duration::from_millis(500));
    fixture.request(Mutation::Edit { id: 1, edit: Edit::Delete }.into());
    fixture.pass(Duration::from_millis(500));
    assert!(!watch.subscription.take_progress_due());
    fixture.pass(Duration::from_millis(500));
    assert!(watch.subscription.take_progress_due());
}

#[test]
fn only_a_client_that_does_not_read_is_cut_off() {
    let timeout = Duration::from_secs(60);
    let limits = Limits { watch_stall_timeout: timeout, watchers_max: 3, ..Limits::default() };
    let mut fixture = Fixture::new(limits);
    let idle = fixture.watch(WatchFrom::Now).unwrap();
    let reading = fixture.watch(WatchFrom::Now).unwrap();
    let stalled = fixture.watch(WatchFrom::Now).unwrap();
    stalled.subscription.set_blocked(true);
    reading.subscription.set_blocked(true);
    reading.subscription.set_blocked(false);
    // Streams use the real clock: they were blocked at most now.
    fixture.now = Instant::now();
    fixture.pass(timeout - Duration::from_secs(1));
    assert!(stalled.subscription.cut_off().is_none(), "it is not time");
    fixture.pass(Duration::from_secs(1));
    let cut_off = stalled.subscription.cut_off().expect("it was cut off");
    assert_eq!(cut_off.why, StateError::WatcherStalled { seconds: 60 });
    assert_eq!(stalled.subscription.take_notification(), Some(cut_off.why));
    for watch in [&idle, &reading] {
        assert!(watch.subscription.cut_off().is_none());
    }
    // It counts as a watch until its call is cancelled, of which it is reminded.
    let too_many = StateError::TooManyWatchers { max: 3 };
    assert_eq!(fixture.watch(WatchFrom::Now).err(), Some(too_many));
    stalled.notified.try_iter().for_each(drop);
    fixture.pass(WATCH_END_GRACE);
    assert_eq!(stalled.notified.try_iter().count(), 1);
    assert!(fixture.watch(WatchFrom::Now).is_ok());
}

#[test]
fn a_snapshot_has_a_time_limit() {
    let mut fixture = Fixture::new(Limits::default());
    let [slow, fast] = [(); 2].map(|()| fixture.watch(WatchFrom::Snapshot).unwrap());
    fast.subscription.snapshot_was_sent();
    fixture.pass(SNAPSHOT_TAKEN_WITHIN);
    let cut_off = slow.subscription.cut_off().expect("it was cut off");
    let seconds = SNAPSHOT_TAKEN_WITHIN.as_secs();
    assert_eq!(cut_off.why, StateError::SnapshotNotTaken { seconds });
    assert!(fast.subscription.cut_off().is_none());
}

#[test]
fn a_dropped_subscription_frees_its_place() {
    let mut fixture = Fixture::new(Limits { watchers_max: 1, ..Limits::default() });
    let watch = fixture.watch(WatchFrom::Now).unwrap();
    assert!(fixture.watch(WatchFrom::Now).is_err());
    drop(watch);
    let (filter, id) = fixture.closed.try_recv().unwrap();
    fixture.state.step(Event::Closed(filter, id), fixture.now).unwrap();
    assert!(fixture.watch(WatchFrom::Now).is_ok());
}

#[test]
fn the_end_comes_after_the_updates() {
    let mut fixture = Fixture::new(Limits::default());
    let watch = fixture.watch(WatchFrom::Now).unwrap();
    fixture.add();
    fixture.state.end();
    assert_eq!(watch.subscription.take_notification(), Some(StateError::ShuttingDown));
    assert_eq!(fixture.after(&watch, 0), [1], "the updates are still there");
    assert!(watch.subscription.cut_off().is_none());
}

#[test]
fn deleted_tasks_are_purged_after_their_time_in_steps() {
    let age = Duration::from_secs(60);
    let retention = Retention { trash_age: Some(age), ..Retention::default() };
    let mut fixture = Fixture::new(Limits { retention, ..Limits::default() });
    let tasks = 2 * TRASH_STEP as i32 + 10;
    for _ in 0..tasks {
        fixture.add();
    }
    let watch = fixture.watch(WatchFrom::Now).unwrap();
    for id in 1..=tasks {
        fixture.request(Mutation::Edit { id, edit: Edit::Delete }.into());
    }
    fixture.request(Mutation::Edit { id: 1, edit: Edit::Restore }.into());
    let before = fixture.log.head();
    // The clock of the fixture stands still: nothing is old enough.
    fixture.pass(age);
    assert_eq!(fixture.log.head(), before);
    assert_eq!(watch.notified.try_iter().count(), 1, "the deletions");
    fixture.state.set_clock(|| Timestamp(DAY_MICROS + 60_000_000));
    for purged in [TRASH_STEP, 2 * TRASH_STEP, tasks as usize - 1, tasks as usize - 1] {
        fixture.pass(age);
        assert_eq!(fixture.log.head(), before + purged as i64, "a step at a time");
    }
    let list = fixture.state.published().list.clone();
    assert_eq!(list.len(), 1, "the restored task stays");
    assert_eq!(fixture.add(), before + tasks as i64);
    assert_eq!(list.head().last_id, tasks, "ids are not reused");
}

#[test]
fn changes_weigh_at_least_their_encoding() {
    let recorded = RecordedChange::from(change(1, false));
    assert!(recorded.change.weight() >= recorded.record.len());
}
