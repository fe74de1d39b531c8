use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use parking_lot::Mutex;

use super::command::{Control, WatcherId};
use crate::model::{Filter, Rejection, Revision, TaskList};

/// What a watcher is sent: a burst of updates that it shares with others, or a mark.
#[derive(Debug, Clone)]
pub(super) enum Delivery<F> {
    Burst {
        frames: F,
        updates: usize,
        /// Everything up to this revision is in this burst or was in earlier ones.
        up_to: Revision,
    },
    Progress(Revision),
}

/// What the two ends of a watch know of each other, beside the channel.
pub(super) struct Shared {
    /// Updates in the channel.
    pub queued: AtomicUsize,
    /// Whether what is in the channel is no longer what comes next. Set before anything
    /// is taken out of it, so whoever takes something out beside that sees it.
    pub is_behind: AtomicBool,
    /// Since when the client does not take what the stream has for it.
    pub blocked_since: Mutex<Option<Instant>>,
    /// Whether the stream holds on to an old version of the list.
    pub holds_snapshot: AtomicBool,
    /// Why the stream ends, once it does.
    pub end: OnceLock<End>,
}

#[derive(Debug, Clone)]
pub(super) enum End {
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

/// The live feed of a watcher, given at registration, and again when it rejoins.
pub(super) struct Joined<F> {
    /// Every later change is in the updates, no earlier one is.
    pub at: Revision,
    pub updates: Receiver<Delivery<F>>,
}

/// What comes before the live feed.
#[derive(Debug, Clone)]
pub enum Begin {
    Nothing,
    /// The list as it was at some revision, then the changes after that.
    Snapshot(Arc<TaskList>),
    /// The changes after this revision.
    History(Revision),
}

/// The receiving end of one watch. Dropping it ends the watch.
pub struct Subscription<F> {
    pub list_id: Arc<str>,
    pub filter: Filter,
    pub begin: Begin,
    /// Everything up to this revision comes from `begin` or from history.
    joined: Revision,
    id: WatcherId,
    updates: Receiver<Delivery<F>>,
    rejoining: Option<Receiver<Joined<F>>>,
    shared: Arc<Shared>,
    control: Sender<Control<F>>,
}

/// What a subscription has next.
pub enum Next<F> {
    /// Updates, after which everything up to the revision was delivered.
    Burst(F, Revision),
    /// Everything up to this revision was delivered.
    Progress(Revision),
    /// Nothing yet: the subscription's `Notify` will tell.
    Nothing,
    /// The watcher was too slow for the live feed: read on from history, then rejoin.
    Behind,
    End(Rejection),
}

impl Shared {
    pub(super) fn new(begin: &Begin) -> Shared {
        Shared {
            queued: AtomicUsize::new(0),
            is_behind: AtomicBool::new(false),
            blocked_since: Mutex::new(None),
            holds_snapshot: AtomicBool::new(matches!(begin, Begin::Snapshot(_))),
            end: OnceLock::new(),
        }
    }
}

impl<F> Subscription<F> {
    pub(super) fn new(
        list_id: Arc<str>,
        filter: Filter,
        begin: Begin,
        id: WatcherId,
        joined: Joined<F>,
        shared: Arc<Shared>,
        control: Sender<Control<F>>,
    ) -> Subscription<F> {
        let Joined { at: joined, updates } = joined;
        let rejoining = None;
        Subscription { list_id, filter, begin, joined, id, updates, rejoining, shared, control }
    }

    /// The revision after which the live feed goes on.
    pub fn joined(&self) -> Revision {
        self.joined
    }

    pub fn next(&self) -> Next<F> {
        let taken = self.updates.try_recv();
        if self.shared.is_behind.load(Ordering::SeqCst) {
            return self.ended().map_or(Next::Behind, Next::End);
        }
        match taken {
            Ok(Delivery::Burst { frames, updates, up_to }) => {
                self.shared.queued.fetch_sub(updates, Ordering::Relaxed);
                Next::Burst(frames, up_to)
            }
            Ok(Delivery::Progress(up_to)) => Next::Progress(up_to),
            Err(TryRecvError::Empty) => Next::Nothing,
            Err(TryRecvError::Disconnected) => self.ended().map_or(Next::Behind, Next::End),
        }
    }

    /// Whether something is there to read.
    pub fn has_more(&self) -> bool {
        !self.updates.is_empty()
    }

    /// Why the watch is over, if it is.
    pub fn ended(&self) -> Option<Rejection> {
        match self.shared.end.get()? {
            End::InOrder(why) | End::CutOff(CutOff { why, .. }) => Some(why.clone()),
        }
    }

    /// Whether the watch is over because its client did not read.
    pub fn cut_off(&self) -> Option<CutOff> {
        match self.shared.end.get()? {
            End::CutOff(cut_off) => Some(cut_off.clone()),
            End::InOrder(_) => None,
        }
    }

    /// Asks for the live feed again, after [`Next::Behind`]. `Notify` tells when it is there.
    pub fn rejoin(&mut self) {
        let (to, rejoined) = bounded(1);
        // Fails only when the state thread is gone, which has ended the watch.
        let _ = self.control.send(Control::Rejoin { id: self.id, to });
        self.rejoining = Some(rejoined);
    }

    /// The revision after which the live feed goes on again, once it does. What was
    /// read from history does not reach beyond it.
    pub fn rejoined(&mut self) -> Option<Revision> {
        let Joined { at, updates } = self.rejoining.as_ref()?.try_recv().ok()?;
        self.rejoining = None;
        self.updates = updates;
        self.joined = at;
        Some(at)
    }

    /// Tells whether the client takes what there is for it.
    pub fn client_reads(&self, reads: bool) {
        let mut since = self.shared.blocked_since.lock();
        match reads {
            true => *since = None,
            false => _ = since.get_or_insert_with(Instant::now),
        }
    }

    /// Tells that the version of the list that the watch began with is no longer needed.
    pub fn snapshot_is_taken(&self) {
        self.shared.holds_snapshot.store(false, Ordering::Relaxed);
    }
}

impl<F> Drop for Subscription<F> {
    fn drop(&mut self) {
        // Fails only when the state thread is gone, and the watcher with it.
        let _ = self.control.send(Control::Unwatch(self.id));
    }
}
