use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError, bounded};

use super::WatchStart;
use super::command::{Control, WatcherId};
use crate::model::{Change, Filter, Rejection, TaskList};

/// Tells a watcher's reader that there is something to read. Called on the state
/// thread, so it must not block.
pub type Notify = Box<dyn Fn() + Send>;

/// The sending ends: one bounded channel per watcher.
pub(super) struct Watchers<F> {
    watchers: HashMap<WatcherId, Watcher<F>>,
    next_id: WatcherId,
    queue_max: usize,
    encode: fn(&Change) -> F,
    unwatch: Sender<Control>,
}

struct Watcher<F> {
    filter: Filter,
    updates: Sender<F>,
    /// Why the stream ends, once it does: read after the last update.
    end: Arc<OnceLock<Rejection>>,
    notify: Notify,
}

/// The receiving end of one watch. Dropping it ends the watch.
pub struct Subscription<F> {
    /// The list at the moment of registration, if a snapshot was asked for: every
    /// later change is in the updates, no earlier one is.
    snapshot: Option<TaskList>,
    pub start: WatchStart,
    id: WatcherId,
    updates: Receiver<F>,
    end: Arc<OnceLock<Rejection>>,
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
        queue_max: usize,
        encode: fn(&Change) -> F,
        unwatch: Sender<Control>,
    ) -> Watchers<F> {
        Watchers { watchers: HashMap::new(), next_id: 0, queue_max, encode, unwatch }
    }

    /// From now on the watcher gets every change that concerns its filter.
    pub(super) fn add(
        &mut self,
        start: WatchStart,
        notify: Notify,
        list: &TaskList,
    ) -> Subscription<F> {
        let id = self.next_id;
        self.next_id += 1;
        let (sender, updates) = bounded(self.queue_max);
        let end = Arc::new(OnceLock::new());
        let watcher = Watcher { filter: start.filter, updates: sender, end: end.clone(), notify };
        self.watchers.insert(id, watcher);
        let unwatch = self.unwatch.clone();
        let snapshot = start.snapshot.then(|| list.clone());
        Subscription { snapshot, start, id, updates, end, unwatch }
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
        let queue_max = self.queue_max;
        self.watchers.retain(|_, watcher| watcher.publish(&frames, queue_max));
    }

    /// Ends every watch, after what is in its channel.
    pub(super) fn end_all(&mut self, why: &Rejection) {
        for (_, watcher) in self.watchers.drain() {
            watcher.end(why.clone());
        }
    }
}

impl<F: Clone> Watcher<F> {
    /// Whether the watcher goes on.
    fn publish(&mut self, frames: &[(&Change, F)], queue_max: usize) -> bool {
        let mut told = false;
        for (_, frame) in frames.iter().filter(|(change, _)| self.filter.concerns(change)) {
            match self.updates.try_send(frame.clone()) {
                Ok(()) => told = true,
                Err(TrySendError::Full(_)) => {
                    self.disconnect(Rejection::WatcherTooSlow { max: queue_max });
                    return false;
                }
                Err(TrySendError::Disconnected(_)) => return false,
            }
        }
        if told {
            (self.notify)();
        }
        true
    }

    fn end(mut self, why: Rejection) {
        self.disconnect(why);
    }

    /// Sets the reason before the channel closes, so that whoever sees it closed
    /// finds the reason.
    fn disconnect(&mut self, why: Rejection) {
        let _ = self.end.set(why);
        self.updates = bounded(0).0;
        (self.notify)();
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
                Next::End(self.end.get().cloned().unwrap_or(Rejection::ShuttingDown))
            }
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
