use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, TrySendError, bounded};

use super::log::Publisher;
use super::pinned::PinnedSnapshots;
use super::subscription::{CutOff, End, Shared, Start, WatcherId};
use super::{Limits, Published, StateError, Subscription, WatchFrom, WatchStart};
use crate::limits::{SNAPSHOT_TAKEN_WITHIN, WATCH_END_GRACE};
use crate::model::{Filter, Revision};
use crate::store::Batch;

/// Notifies a stream that there is something for it to do. Called on the state thread, so
/// it must not block.
pub type Notify = Box<dyn Fn() + Send>;

/// The sending ends of all watches, by filter: a batch notifies those that it concerns.
pub(super) struct Watchers {
    by_filter: HashMap<Filter, HashMap<WatcherId, Watcher>>,
    count: usize,
    next_id: WatcherId,
    limits: Limits,
    /// When to check which watcher: one entry each.
    timers: BTreeMap<(Instant, WatcherId), Filter>,
    /// Watchers that were cut off, the earliest first: their streams have no clock.
    reminders: VecDeque<(Instant, Notify)>,
    pinned: PinnedSnapshots,
    publisher: Box<dyn Publisher>,
    closed: Sender<(Filter, WatcherId)>,
}

struct Watcher {
    /// Holds the newest revision that may concern the stream. Its capacity is 1: full means
    /// that the stream has not looked since and will find everything when it does.
    head: Sender<Revision>,
    shared: Arc<Shared>,
    notify: Notify,
    /// Report progress after this long without an update.
    progress: Option<Duration>,
    started: Instant,
    last_notified: Instant,
    /// The watcher's entry in the timers.
    due: Instant,
}

impl Watchers {
    pub(super) fn new(
        limits: Limits,
        publisher: Box<dyn Publisher>,
        closed: Sender<(Filter, WatcherId)>,
    ) -> Watchers {
        Watchers {
            by_filter: HashMap::new(),
            count: 0,
            next_id: 0,
            limits,
            timers: BTreeMap::new(),
            reminders: VecDeque::new(),
            pinned: PinnedSnapshots::default(),
            publisher,
            closed,
        }
    }

    /// Registers a watch at the published head.
    pub(super) fn add(
        &mut self,
        start: WatchStart,
        notify: Notify,
        published: &Arc<Published>,
        now: Instant,
    ) -> Result<Subscription, StateError> {
        let max = self.limits.watchers_max;
        if self.count + self.reminders.len() >= max {
            return Err(StateError::TooManyWatchers { max });
        }
        let begins = self.begin(start.from, published)?;
        let id = self.next_id;
        self.next_id += 1;
        let (sender, head) = bounded(1);
        let shared = Arc::new(Shared::default());
        let holds_snapshot = matches!(begins, Start::Snapshot(_));
        shared.holds_snapshot.store(holds_snapshot, Ordering::Relaxed);
        let mut watcher = Watcher {
            head: sender,
            shared: shared.clone(),
            notify,
            progress: start.progress,
            started: now,
            last_notified: now,
            due: now,
        };
        watcher.due = watcher.next_due(now, self.limits.watch_stall_timeout);
        let filter = start.filter;
        self.timers.insert((watcher.due, id), filter.clone());
        self.by_filter.entry(filter.clone()).or_default().insert(id, watcher);
        self.count += 1;
        let filter_since = self.publisher.watch(&filter);
        Ok(Subscription {
            list_id: published.list.list_id().clone(),
            filter,
            start: begins,
            registered: published.list.revision(),
            filter_since,
            id,
            head,
            shared,
            closed: self.closed.clone(),
        })
    }

    fn begin(&mut self, from: WatchFrom, published: &Arc<Published>) -> Result<Start, StateError> {
        match from {
            WatchFrom::Now => Ok(Start::After(published.list.revision())),
            WatchFrom::Snapshot => Ok(Start::Snapshot(self.pinned.pin(published.clone()))),
            WatchFrom::After { revision, list_id, else_snapshot } => {
                match check_position(published, revision, &list_id) {
                    Ok(()) => Ok(Start::After(revision)),
                    Err(_) if else_snapshot => {
                        Ok(Start::Snapshot(self.pinned.pin(published.clone())))
                    }
                    Err(why) => Err(why),
                }
            }
        }
    }

    pub(super) fn remove(&mut self, filter: &Filter, id: WatcherId) {
        if let Some(watcher) = self.take(filter, id) {
            self.timers.remove(&(watcher.due, id));
        }
    }

    fn take(&mut self, filter: &Filter, id: WatcherId) -> Option<Watcher> {
        let group = self.by_filter.get_mut(filter)?;
        let watcher = group.remove(&id)?;
        if group.is_empty() {
            self.by_filter.remove(filter);
        }
        self.publisher.unwatch(filter);
        self.count -= 1;
        Some(watcher)
    }

    /// Appends the batch to the change log and notifies the watchers that it concerns.
    /// Never waits for them.
    pub(super) fn publish(&mut self, batch: &Arc<Batch>, now: Instant) {
        let revision = batch.head.revision;
        for filter in self.publisher.publish(batch) {
            let group = self.by_filter.get_mut(&filter);
            for watcher in group.into_iter().flat_map(HashMap::values_mut) {
                watcher.last_notified = now;
                watcher.wake(revision);
            }
        }
    }

    /// Ends every watch, after its updates.
    pub(super) fn end_all(&mut self, why: &StateError) {
        for watcher in self.take_all() {
            drop(watcher.end(End::AfterUpdates(why.clone())));
        }
    }

    /// Ends every watch immediately: the streams read no more of the change log, which does not
    /// look at their filters any more.
    pub(super) fn cut_off_all(&mut self, why: &StateError, now: Instant) {
        let cancel_at = now + WATCH_END_GRACE;
        for watcher in self.take_all() {
            let notify = watcher.end(End::CutOff(CutOff { why: why.clone(), cancel_at }));
            self.reminders.push_back((cancel_at, notify));
        }
    }

    fn take_all(&mut self) -> Vec<Watcher> {
        self.timers.clear();
        self.count = 0;
        let mut watchers = Vec::new();
        for (filter, group) in self.by_filter.drain() {
            for (_, watcher) in group {
                self.publisher.unwatch(&filter);
                watchers.push(watcher);
            }
        }
        watchers
    }

    /// When a watcher has to be checked.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let timer = self.timers.first_key_value().map(|((due, _), _)| *due);
        let reminder = self.reminders.front().map(|(due, _)| *due);
        timer.into_iter().chain(reminder).min()
    }

    /// Checks the watchers that are due: requests progress reports, and ends the watches of
    /// clients that do not read.
    pub(super) fn on_deadline(&mut self, head: Revision, now: Instant) {
        while let Some((due, notify)) = self.reminders.front()
            && *due <= now
        {
            notify();
            self.reminders.pop_front();
        }
        while let Some(entry) = self.timers.first_entry()
            && entry.key().0 <= now
        {
            let ((_, id), filter) = entry.remove_entry();
            self.check(&filter, id, head, now);
        }
    }

    fn check(&mut self, filter: &Filter, id: WatcherId, head: Revision, now: Instant) {
        let stall_timeout = self.limits.watch_stall_timeout;
        let group = self.by_filter.get_mut(filter);
        let Some(watcher) = group.and_then(|group| group.get_mut(&id)) else { return };
        if let Some(why) = watcher.overdue(now, stall_timeout) {
            let Some(watcher) = self.take(filter, id) else { return };
            let cancel_at = now + WATCH_END_GRACE;
            let notify = watcher.end(End::CutOff(CutOff { why, cancel_at }));
            self.reminders.push_back((cancel_at, notify));
            return;
        }
        watcher.request_progress(head, now);
        watcher.due = watcher.next_due(now, stall_timeout);
        self.timers.insert((watcher.due, id), filter.clone());
    }
}

/// Refuses a position that cannot be continued: of another list, compacted, or in the
/// future.
fn check_position(published: &Published, asked: Revision, list_id: &str) -> Result<(), StateError> {
    let Published { list, compacted } = published;
    if !list_id.is_empty() && list_id != &**list.list_id() {
        let (asked, actual) = (list_id.to_owned(), list.list_id().to_string());
        return Err(StateError::OtherList { asked, actual });
    }
    StateError::unless_kept(asked, *compacted)?;
    StateError::unless_reached(asked, list.revision())
}

impl Watcher {
    fn wake(&self, revision: Revision) {
        match self.head.try_send(revision) {
            Ok(()) => (self.notify)(),
            // Disconnected: its `closed` is on the way.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }

    fn request_progress(&mut self, head: Revision, now: Instant) {
        if let Some(interval) = self.progress
            && self.last_notified + interval <= now
        {
            self.last_notified = now;
            self.shared.progress_due.store(true, Ordering::Relaxed);
            self.wake(head);
        }
    }

    /// Why the watch is to end, if it is.
    fn overdue(&self, now: Instant, stall_timeout: Duration) -> Option<StateError> {
        let blocked_since = *self.shared.blocked_since.lock();
        if blocked_since.is_some_and(|since| since + stall_timeout <= now) {
            return Some(StateError::WatcherStalled { seconds: stall_timeout.as_secs() });
        }
        let holds_snapshot = self.shared.holds_snapshot.load(Ordering::Relaxed);
        if holds_snapshot && self.started + SNAPSHOT_TAKEN_WITHIN <= now {
            return Some(StateError::SnapshotNotTaken { seconds: SNAPSHOT_TAKEN_WITHIN.as_secs() });
        }
        None
    }

    /// When to check the watcher again. Never in the past.
    fn next_due(&self, now: Instant, stall_timeout: Duration) -> Instant {
        let blocked_since = *self.shared.blocked_since.lock();
        let stalls = blocked_since.unwrap_or(now) + stall_timeout;
        let progress = self.progress.map(|interval| self.last_notified + interval);
        let holds_snapshot = self.shared.holds_snapshot.load(Ordering::Relaxed);
        let snapshot = holds_snapshot.then(|| self.started + SNAPSHOT_TAKEN_WITHIN);
        [Some(stalls), progress, snapshot].into_iter().flatten().min().unwrap_or(stalls).max(now)
    }

    /// Sets the reason before the channel disconnects. Returns what notifies the stream
    /// once more.
    fn end(self, end: End) -> Notify {
        let Watcher { head, shared, notify, .. } = self;
        let _ = shared.end.set(end);
        drop(head);
        notify();
        notify
    }
}
