use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, TryRecvError, at, never, unbounded};

use super::command::{Control, WatcherId};
use super::{Limits, WatchStart};
use crate::limits::WATCH_END_GRACE;
use crate::model::{Change, Filter, Rejection, TaskList};

/// Tells a watcher's reader that there is something to read. Called on the state
/// thread, so it must not block.
pub type Notify = Box<dyn Fn() + Send>;

/// The sending ends: one bounded channel per watcher.
pub(super) struct Watchers<F> {
    watchers: HashMap<WatcherId, Watcher<F>>,
    next_id: WatcherId,
    limits: Limits,
    /// Watchers that were cut off, the earliest first: their streams have no clock.
    reminders: VecDeque<(Instant, Notify)>,
    encode: fn(&Change) -> F,
    unwatch: Sender<Control>,
}

struct Watcher<F> {
    filter: Filter,
    /// Holds `watch_queue_max` updates at most. Only this thread sends, so it counts
    /// them itself: a bounded channel would take the memory for all of them at once.
    updates: Sender<F>,
    /// Why the stream ends, once it does.
    end: Arc<OnceLock<End>>,
    notify: Notify,
}

#[derive(Debug, Clone)]
enum End {
    /// After the last update.
    InOrder(Rejection),
    /// At once, whatever waits.
    CutOff(CutOff),
}

/// The end of a watch whose client did not read.
#[derive(Debug, Clone)]
pub struct CutOff {
    pub why: Rejection,
    /// When to stop waiting for the client to take its status: the subscription's
    /// `Notify` is called once more then.
    pub cancel_at: Instant,
}

/// The receiving end of one watch. Dropping it ends the watch.
pub struct Subscription<F> {
    /// The list at the moment of registration, if a snapshot was asked for: every
    /// later change is in the updates, no earlier one is.
    snapshot: Option<TaskList>,
    pub start: WatchStart,
    id: WatcherId,
    updates: Receiver<F>,
    end: Arc<OnceLock<End>>,
    unwatch: Sender<Control>,
}

/// What a subscription has next.
pub enum Next<F> {
    Update(F),
    /// Nothing yet: the subscription's `Notify` will tell.
    Nothing,
    End(Rejection),
}

impl<F: Clone> Watchers<F> {
    pub(super) fn new(
        limits: Limits,
        encode: fn(&Change) -> F,
        unwatch: Sender<Control>,
    ) -> Watchers<F> {
        let (watchers, reminders) = (HashMap::new(), VecDeque::new());
        Watchers { watchers, next_id: 0, limits, reminders, encode, unwatch }
    }

    /// From now on the watcher gets every change that concerns its filter.
    pub(super) fn add(
        &mut self,
        start: WatchStart,
        notify: Notify,
        list: &TaskList,
    ) -> Result<Subscription<F>, Rejection> {
        let max = self.limits.watchers_max;
        if self.watchers.len() + self.reminders.len() >= max {
            return Err(Rejection::TooManyWatchers { max });
        }
        let id = self.next_id;
        self.next_id += 1;
        let (sender, updates) = unbounded();
        let end = Arc::new(OnceLock::new());
        let watcher = Watcher { filter: start.filter, updates: sender, end: end.clone(), notify };
        self.watchers.insert(id, watcher);
        let unwatch = self.unwatch.clone();
        let snapshot = start.snapshot.then(|| list.clone());
        Ok(Subscription { snapshot, start, id, updates, end, unwatch })
    }

    pub(super) fn remove(&mut self, id: WatcherId) {
        self.watchers.remove(&id);
    }

    /// Puts the changes into every channel they concern, encoded once for all. Never
    /// waits: a watcher whose channel is full ends.
    pub(super) fn publish(&mut self, changes: &[Change]) {
        if self.watchers.is_empty() {
            return;
        }
        let frames: Vec<(&Change, F)> = changes.iter().map(|c| (c, (self.encode)(c))).collect();
        let max = self.limits.watch_queue_max;
        let full = self.watchers.extract_if(|_, watcher| !watcher.publish(&frames, max));
        let full: Vec<_> = full.map(|(_, watcher)| watcher).collect();
        let cancel_at = Instant::now() + WATCH_END_GRACE;
        for watcher in full {
            let why = Rejection::WatcherTooSlow { max };
            let notify = watcher.end(End::CutOff(CutOff { why, cancel_at }));
            self.reminders.push_back((cancel_at, notify));
        }
    }

    /// Ends every watch, after what is in its channel.
    pub(super) fn end_all(&mut self, why: &Rejection) {
        for (_, watcher) in self.watchers.drain() {
            drop(watcher.end(End::InOrder(why.clone())));
        }
    }

    /// Fires when the next reminder is due.
    pub(super) fn next_reminder(&self) -> Receiver<Instant> {
        self.reminders.front().map_or_else(never, |(due, _)| at(*due))
    }

    /// Calls those who are due.
    pub(super) fn remind(&mut self, now: Instant) {
        while let Some((due, notify)) = self.reminders.front()
            && *due <= now
        {
            notify();
            self.reminders.pop_front();
        }
    }
}

impl<F: Clone> Watcher<F> {
    /// Whether the watcher could take them all.
    fn publish(&self, frames: &[(&Change, F)], queue_max: usize) -> bool {
        let mut told = false;
        for (_, frame) in frames.iter().filter(|(change, _)| self.filter.concerns(change)) {
            if self.updates.len() >= queue_max {
                return false;
            }
            if self.updates.send(frame.clone()).is_err() {
                // Its Unwatch is on the way.
                break;
            }
            told = true;
        }
        if told {
            (self.notify)();
        }
        true
    }

    /// Sets the reason before the channel closes, so that whoever sees it closed
    /// finds the reason. Returns what wakes the stream once more.
    fn end(self, end: End) -> Notify {
        let Watcher { updates, end: reason, notify, .. } = self;
        let _ = reason.set(end);
        drop(updates);
        notify();
        notify
    }
}

impl<F> Subscription<F> {
    /// The list that the updates go on from, once: whoever is done with it drops it,
    /// and with it the old versions of tasks that it holds.
    pub fn take_snapshot(&mut self) -> Option<TaskList> {
        self.snapshot.take()
    }

    pub fn next(&self) -> Next<F> {
        match self.updates.try_recv() {
            Ok(frame) => Next::Update(frame),
            Err(TryRecvError::Empty) => Next::Nothing,
            Err(TryRecvError::Disconnected) => {
                let why = match self.end.get() {
                    Some(End::InOrder(why) | End::CutOff(CutOff { why, .. })) => why.clone(),
                    None => Rejection::ShuttingDown,
                };
                Next::End(why)
            }
        }
    }

    /// Whether the watch is over because its client did not read.
    pub fn cut_off(&self) -> Option<CutOff> {
        match self.end.get() {
            Some(End::CutOff(cut_off)) => Some(cut_off.clone()),
            Some(End::InOrder(_)) | None => None,
        }
    }

    /// Whether an update is there to read.
    pub fn has_more(&self) -> bool {
        !self.updates.is_empty()
    }
}

impl<F> Drop for Subscription<F> {
    fn drop(&mut self) {
        // Fails only when the state thread is gone, and the watcher with it.
        let _ = self.unwatch.send(Control::Unwatch(self.id));
    }
}
