use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::command::{Control, WatchFrom, WatcherId};
use super::subscription::{Begin, CutOff, Delivery, End, Joined, Shared};
use super::versions::Versions;
use super::{Limits, Recent, Subscription, WatchStart};
use crate::limits::{
    BURST_CHANGES_MAX, PUBLISH_DELAY_MAX, SNAPSHOT_TAKEN_WITHIN, STRETCH_BYTES_MAX, UPDATE_BYTES,
    WATCH_END_GRACE,
};
use crate::model::{Change, Filter, Rejection, Revision, TaskList};

/// Tells a watcher's reader that there is something to read. Called on the state
/// thread, so it must not block.
pub type Notify = Box<dyn Fn() + Send>;

/// The sending ends: one channel per watcher.
pub(super) struct Watchers<F> {
    watchers: HashMap<WatcherId, Watcher<F>>,
    next_id: WatcherId,
    limits: Limits,
    /// When to look at which watcher again: one entry each.
    timers: BTreeSet<(Instant, WatcherId)>,
    /// Watchers that were cut off, the earliest first: their streams have no clock.
    reminders: VecDeque<(Instant, Notify)>,
    versions: Versions,
    /// Committed, and not yet published.
    pending: Vec<Change>,
    /// Since when there is something in it.
    pending_since: Option<Instant>,
    recent: Arc<Recent>,
    encode: fn(&[&Change]) -> F,
    control: Sender<Control<F>>,
}

struct Watcher<F> {
    filter: Filter,
    /// Holds `watch_queue_max` updates at most, counted in `shared`: a bounded channel
    /// would take the memory for all of them at once. `None`: it has fallen behind.
    updates: Option<Channel<F>>,
    shared: Arc<Shared>,
    notify: Notify,
    /// Tell of progress after this long without an update.
    progress: Option<Duration>,
    started: Instant,
    last_sent: Instant,
    /// The watcher's entry in the timers.
    due: Instant,
}

/// A watcher's live feed, with both ends: to forget what waits in it.
struct Channel<F> {
    sender: Sender<Delivery<F>>,
    receiver: Receiver<Delivery<F>>,
}

/// A burst as one filter sees it, and the number of its updates; `None` if it concerns
/// none of them.
type Frames<F> = Option<(F, usize)>;

impl<F: Clone> Watchers<F> {
    pub(super) fn new(
        limits: Limits,
        recent: Arc<Recent>,
        encode: fn(&[&Change]) -> F,
        control: Sender<Control<F>>,
    ) -> Watchers<F> {
        Watchers {
            watchers: HashMap::new(),
            next_id: 0,
            limits,
            timers: BTreeSet::new(),
            reminders: VecDeque::new(),
            versions: Versions::default(),
            pending: Vec::new(),
            pending_since: None,
            recent,
            encode,
            control,
        }
    }

    /// From now on the watcher gets every change that concerns its filter. What it is
    /// to get before comes with the subscription.
    pub(super) fn add(
        &mut self,
        start: WatchStart,
        notify: Notify,
        list: &TaskList,
        compacted: Revision,
    ) -> Result<Subscription<F>, Rejection> {
        let max = self.limits.watchers_max;
        if self.watchers.len() + self.reminders.len() >= max {
            return Err(Rejection::TooManyWatchers { max });
        }
        let begin = self.begin(start.from, list, compacted)?;
        // The live feed goes on where the list is.
        self.publish();
        let id = self.next_id;
        self.next_id += 1;
        let shared = Arc::new(Shared::new(&begin));
        let (updates, joined) = self.feed();
        let now = Instant::now();
        let mut watcher = Watcher {
            filter: start.filter,
            updates: Some(updates),
            shared: shared.clone(),
            notify,
            progress: start.progress,
            started: now,
            last_sent: now,
            due: now,
        };
        watcher.due = watcher.next_due(now, self.limits.watch_stall_timeout);
        self.timers.insert((watcher.due, id));
        self.watchers.insert(id, watcher);
        let (list_id, control) = (list.list_id().clone(), self.control.clone());
        Ok(Subscription::new(list_id, start.filter, begin, id, joined, shared, control))
    }

    fn begin(
        &mut self,
        from: WatchFrom,
        list: &TaskList,
        compacted: Revision,
    ) -> Result<Begin, Rejection> {
        match from {
            WatchFrom::Now => Ok(Begin::Nothing),
            WatchFrom::Snapshot => Ok(Begin::Snapshot(self.versions.of(list, compacted))),
            WatchFrom::After { revision, list_id, else_snapshot } => {
                match is_kept(list, compacted, revision, &list_id) {
                    Ok(()) => Ok(Begin::History(revision)),
                    Err(_) if else_snapshot => {
                        Ok(Begin::Snapshot(self.versions.of(list, compacted)))
                    }
                    Err(gone) => Err(gone),
                }
            }
        }
    }

    /// A new live feed, from what was published last.
    fn feed(&self) -> (Channel<F>, Joined<F>) {
        let (sender, receiver) = unbounded();
        let updates = receiver.clone();
        (Channel { sender, receiver }, Joined { at: self.recent.newest(), updates })
    }

    /// Feeds a watcher again that had fallen behind. From where is told with the feed,
    /// so that it meets what the watcher reads from history without gap or duplicate.
    pub(super) fn rejoin(&mut self, id: WatcherId, to: &Sender<Joined<F>>) {
        let (updates, joined) = self.feed();
        let Some(watcher) = self.watchers.get_mut(&id) else { return };
        watcher.shared.queued.store(0, Ordering::Relaxed);
        watcher.shared.is_behind.store(false, Ordering::SeqCst);
        watcher.updates = Some(updates);
        watcher.last_sent = Instant::now();
        // Fails only when the watcher's Unwatch is on the way.
        let _ = to.send(joined);
        (watcher.notify)();
    }

    pub(super) fn remove(&mut self, id: WatcherId) {
        if let Some(watcher) = self.watchers.remove(&id) {
            self.timers.remove(&(watcher.due, id));
        }
    }

    /// Takes committed changes, to be published.
    pub(super) fn take(&mut self, changes: Vec<Change>, now: Instant) {
        self.pending_since.get_or_insert(now);
        match self.pending.is_empty() {
            true => self.pending = changes,
            false => self.pending.extend(changes),
        }
    }

    /// Whether what waits to be published may still do so, for others to come along.
    pub(super) fn may_gather(&self, now: Instant) -> bool {
        let has_time = self.pending_since.is_some_and(|since| now < since + PUBLISH_DELAY_MAX);
        has_time && self.pending.len() < BURST_CHANGES_MAX
    }

    /// Puts what is pending into every channel it concerns, encoded once for all that
    /// share a filter. Never waits: a watcher whose channel is full falls behind.
    pub(super) fn publish(&mut self) {
        self.pending_since = None;
        let mut pending = std::mem::take(&mut self.pending);
        while !pending.is_empty() {
            let rest = pending.split_off(burst_length(&pending));
            let burst: Arc<[Change]> = std::mem::replace(&mut pending, rest).into();
            self.publish_burst(&burst);
            self.recent.push(burst);
        }
    }

    fn publish_burst(&mut self, burst: &[Change]) {
        let Some(up_to) = burst.last().map(Change::revision) else { return };
        if self.watchers.is_empty() {
            return;
        }
        let now = Instant::now();
        let mut seen_by: HashMap<Filter, Frames<F>> = HashMap::new();
        for watcher in self.watchers.values_mut().filter(|watcher| watcher.updates.is_some()) {
            let filter = watcher.filter;
            let encode = self.encode;
            let frames = seen_by.entry(filter).or_insert_with(|| {
                let changes: Vec<_> = burst.iter().filter(|c| filter.concerns(c)).collect();
                (!changes.is_empty()).then(|| (encode(&changes), changes.len()))
            });
            if let Some((frames, updates)) = frames {
                let burst = Delivery::Burst { frames: frames.clone(), updates: *updates, up_to };
                watcher.offer(burst, *updates, self.limits.watch_queue_max, now);
            }
        }
    }

    /// Ends every watch, after what is in its channel.
    pub(super) fn end_all(&mut self, why: &Rejection) {
        self.publish();
        self.timers.clear();
        for (_, watcher) in self.watchers.drain() {
            drop(watcher.end(End::InOrder(why.clone())));
        }
    }

    /// When a watcher has to be looked at.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let timer = self.timers.first().map(|(due, _)| *due);
        let reminder = self.reminders.front().map(|(due, _)| *due);
        timer.into_iter().chain(reminder).min()
    }

    /// Looks at those who are due: tells of progress, and ends the watches of clients
    /// that do not read.
    pub(super) fn do_what_is_due(&mut self, now: Instant) {
        while let Some((due, notify)) = self.reminders.front()
            && *due <= now
        {
            notify();
            self.reminders.pop_front();
        }
        while let Some(&(due, id)) = self.timers.first()
            && due <= now
        {
            self.timers.pop_first();
            self.look_at(id, now);
        }
    }

    fn look_at(&mut self, id: WatcherId, now: Instant) {
        let stall_timeout = self.limits.watch_stall_timeout;
        let Some(watcher) = self.watchers.get_mut(&id) else { return };
        if let Some(why) = watcher.overdue(now, stall_timeout) {
            let Some(watcher) = self.watchers.remove(&id) else { return };
            let cancel_at = now + WATCH_END_GRACE;
            let notify = watcher.end(End::CutOff(CutOff { why, cancel_at }));
            self.reminders.push_back((cancel_at, notify));
            return;
        }
        watcher.tell_progress(self.recent.newest(), now);
        watcher.due = watcher.next_due(now, stall_timeout);
        self.timers.insert((watcher.due, id));
    }
}

/// How many of the changes are published together: a watcher that does not read holds on
/// to one burst, so it is limited in bytes, too.
fn burst_length(changes: &[Change]) -> usize {
    let mut bytes = 0;
    let fits = |change: &&Change| {
        let is_first = bytes == 0;
        bytes += change.task.title.as_str().len() + UPDATE_BYTES;
        is_first || bytes <= STRETCH_BYTES_MAX
    };
    changes.iter().take(BURST_CHANGES_MAX).take_while(fits).count()
}

/// Whether the changes after a revision, of the list with this id, are still there.
fn is_kept(
    list: &TaskList,
    compacted: Revision,
    asked: Revision,
    list_id: &str,
) -> Result<(), Rejection> {
    if !list_id.is_empty() && list_id != &**list.list_id() {
        let (asked, actual) = (list_id.to_owned(), list.list_id().to_string());
        return Err(Rejection::OtherList { asked, actual });
    }
    Rejection::unless_kept(asked, compacted)?;
    Rejection::unless_there(asked, list.revision())
}

impl<F> Watcher<F> {
    fn offer(&mut self, burst: Delivery<F>, updates: usize, queue_max: usize, now: Instant) {
        let queued = self.shared.queued.load(Ordering::Relaxed);
        if queued > 0 && queued + updates > queue_max {
            self.fall_behind();
        } else if let Some(channel) = &self.updates {
            self.shared.queued.fetch_add(updates, Ordering::Relaxed);
            // Never fails: both ends are ours.
            let _ = channel.sender.send(burst);
            self.last_sent = now;
        }
        (self.notify)();
    }

    /// Forgets what waits for the watcher, which history has, too: one that does not read
    /// would hold on to it. So what is held is among the newest updates, which all share.
    fn fall_behind(&mut self) {
        let Some(Channel { sender, receiver }) = self.updates.take() else { return };
        self.shared.is_behind.store(true, Ordering::SeqCst);
        drop(sender);
        receiver.try_iter().for_each(drop);
    }

    /// Behind what waits already there is nothing to tell.
    fn tell_progress(&mut self, revision: Revision, now: Instant) {
        if let Some(interval) = self.progress
            && self.last_sent + interval <= now
            && let Some(Channel { sender, .. }) = &self.updates
            && sender.is_empty()
        {
            let _ = sender.send(Delivery::Progress(revision));
            self.last_sent = now;
            (self.notify)();
        }
    }

    /// Why the watch is to end, if it is.
    fn overdue(&self, now: Instant, stall_timeout: Duration) -> Option<Rejection> {
        let blocked_since = *self.shared.blocked_since.lock();
        if blocked_since.is_some_and(|since| since + stall_timeout <= now) {
            return Some(Rejection::WatcherStalled { seconds: stall_timeout.as_secs() });
        }
        let holds_snapshot = self.shared.holds_snapshot.load(Ordering::Relaxed);
        if holds_snapshot && self.started + SNAPSHOT_TAKEN_WITHIN <= now {
            return Some(Rejection::SnapshotNotTaken { seconds: SNAPSHOT_TAKEN_WITHIN.as_secs() });
        }
        None
    }

    /// When to look at the watcher again. Never in the past.
    fn next_due(&self, now: Instant, stall_timeout: Duration) -> Instant {
        let blocked_since = *self.shared.blocked_since.lock();
        let stalls = blocked_since.unwrap_or(now) + stall_timeout;
        // One that could not be told looks as seldom as one that was.
        let progress = self.progress.map(|interval| match self.last_sent + interval {
            due if due > now => due,
            _ => now + interval,
        });
        let holds_snapshot = self.shared.holds_snapshot.load(Ordering::Relaxed);
        let snapshot = holds_snapshot.then(|| self.started + SNAPSHOT_TAKEN_WITHIN);
        [Some(stalls), progress, snapshot].into_iter().flatten().min().unwrap_or(stalls).max(now)
    }

    /// Sets the reason before the channel closes, so that whoever sees it closed
    /// finds the reason. Returns what wakes the stream once more.
    fn end(self, end: End) -> Notify {
        let Watcher { updates, shared, notify, .. } = self;
        let _ = shared.end.set(end);
        drop(updates);
        notify();
        notify
    }
}

#[cfg(test)]
#[path = "watchers_tests.rs"]
mod tests;
