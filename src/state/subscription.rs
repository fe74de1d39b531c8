use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, TryRecvError};
use parking_lot::Mutex;

use super::{Published, StateError};
use crate::model::{Filter, Revision};

/// Counts the watches since the start.
pub(super) type WatcherId = u64;

/// What the two ends of a watch share, beside the channel.
#[derive(Default)]
pub(super) struct Shared {
    /// Whether the stream is to report progress once it has caught up.
    pub progress_due: AtomicBool,
    /// Since when the client does not take what the stream has for it.
    pub blocked_since: Mutex<Option<Instant>>,
    /// Whether the stream holds an old version of the list.
    pub holds_snapshot: AtomicBool,
    /// Why the stream ends. Set before its channel disconnects.
    pub end: OnceLock<End>,
}

#[derive(Debug, Clone)]
pub(super) enum End {
    /// After the last update.
    AfterUpdates(StateError),
    /// Immediately, whatever is left.
    CutOff(CutOff),
}

/// The end of a watch whose client did not read.
#[derive(Debug, Clone)]
pub struct CutOff {
    pub why: StateError,
    /// When to stop waiting for the client to take its status: the subscription's
    /// `Notify` is called once more then.
    pub cancel_at: Instant,
}

/// What a stream sends before it follows the change log.
#[derive(Debug, Clone)]
pub enum Start {
    /// Changes after this revision.
    After(Revision),
    /// The list as it was at some revision, then the changes after that.
    Snapshot(Arc<Published>),
}

/// The receiving end of one watch. Dropping it ends the watch.
pub struct Subscription {
    pub list_id: Arc<str>,
    pub filter: Filter,
    pub start: Start,
    /// The head when the watch was registered.
    pub registered: Revision,
    /// For [`ChangeLog::after`](super::ChangeLog::after).
    pub filter_since: Revision,
    pub(super) id: WatcherId,
    /// Receives the newest revision that may concern the stream.
    pub(super) head: Receiver<Revision>,
    pub(super) shared: Arc<Shared>,
    pub(super) closed: Sender<(Filter, WatcherId)>,
}

impl Subscription {
    /// Takes the notification, if there is one. Call it before looking into the change log:
    /// what is published later notifies again. Why the watch ends after its updates, if it
    /// does.
    pub fn take_notification(&self) -> Option<StateError> {
        loop {
            match self.head.try_recv() {
                Ok(_) => {}
                Err(TryRecvError::Empty) => return None,
                Err(TryRecvError::Disconnected) => {
                    return Some(match self.shared.end.get() {
                        Some(End::AfterUpdates(why) | End::CutOff(CutOff { why, .. })) => {
                            why.clone()
                        }
                        None => StateError::ShuttingDown,
                    });
                }
            }
        }
    }

    /// Whether the watch was ended because its client did not read.
    pub fn cut_off(&self) -> Option<CutOff> {
        match self.shared.end.get()? {
            End::CutOff(cut_off) => Some(cut_off.clone()),
            End::AfterUpdates(_) => None,
        }
    }

    /// Whether progress is to be reported. Resets it.
    pub fn take_progress_due(&self) -> bool {
        self.shared.progress_due.swap(false, Ordering::Relaxed)
    }

    /// Records whether the client takes what there is for it.
    pub fn set_blocked(&self, is_blocked: bool) {
        let mut since = self.shared.blocked_since.lock();
        match is_blocked {
            false => *since = None,
            true => _ = since.get_or_insert_with(Instant::now),
        }
    }

    /// Records that the version of the list that the watch started with is released.
    pub fn snapshot_was_sent(&self) {
        self.shared.holds_snapshot.store(false, Ordering::Relaxed);
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // Fails only when the state thread has ended, and with it the watch.
        let _ = self.closed.send((self.filter.clone(), self.id));
    }
}
