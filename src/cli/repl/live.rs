use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use crossbeam_channel::Receiver;
use parking_lot::Mutex;

use super::cache::TaskCache;
use super::missed::MissedChanges;
use super::screen::Announcer;
use crate::cli::render::{Shown, announcement};
use crate::client::{
    CallError, Client, Interrupt, Position, UpdateKind, Watch, WatchEvent, WatchOptions,
    WatchStart, proto,
};

/// Follows the list on a thread of its own: announces the changes that others make, and
/// fills the cache for completion.
pub(super) struct LiveUpdates {
    watch: Watch,
    thread: JoinHandle<()>,
    interrupt: Interrupt,
}

impl LiveUpdates {
    pub(super) fn start(
        client: &Client,
        announcer: Announcer,
        tasks: Arc<Mutex<TaskCache>>,
    ) -> io::Result<LiveUpdates> {
        let watch = client.watch(WatchOptions {
            // Deleted tasks, too: completion offers them to `restore`.
            filter: proto::Filter::ANY,
            start: WatchStart::Snapshot,
            reconnect: true,
            ..WatchOptions::default()
        })?;
        let events = watch.events().clone();
        let interrupt = Interrupt::default();
        let client = client.with_interrupt(&interrupt);
        let updater =
            Updater { client, announcer, tasks, is_lost: false, position: None, missed: None };
        let thread =
            Builder::new().name("repl-watch".to_owned()).spawn(move || updater.run(&events))?;
        Ok(LiveUpdates { watch, thread, interrupt })
    }

    pub(super) fn stop(self) {
        self.interrupt.raise();
        drop(self.watch);
        // The thread does not panic.
        let _ = self.thread.join();
    }
}

struct Updater {
    client: Client,
    announcer: Announcer,
    tasks: Arc<Mutex<TaskCache>>,
    /// Whether the loss was announced, and the return was not yet.
    is_lost: bool,
    /// Up to where the list is known; `None` before the first snapshot is complete.
    position: Option<Position>,
    /// What happened since the server was lost; `None` while connected.
    missed: Option<MissedChanges>,
}

impl Updater {
    fn run(mut self, events: &Receiver<WatchEvent>) {
        for event in events {
            match event {
                WatchEvent::Connected { is_todod } => self.connected(is_todod),
                WatchEvent::Update(update) => self.updated(&update),
                WatchEvent::Lost(why) => self.lost(&why, "; trying again"),
                WatchEvent::Ended(why) => self.lost(&why, ""),
            }
        }
    }

    fn lost(&mut self, why: &CallError, hope: &str) {
        self.is_lost = true;
        self.announcer.announce(format!("[Offline] {}{hope}\n", Shown(&why.to_string())));
    }

    fn connected(&mut self, is_todod: bool) {
        if self.is_lost {
            self.is_lost = false;
            let server = Shown(self.client.server());
            self.announcer.announce(format!("[Online] connected to {server}\n"));
        }
        if is_todod {
            if self.position.is_some() {
                self.missed.get_or_insert_default();
            }
            return;
        }
        // The example's server sends no snapshot. If the listing fails, the watch announces
        // the loss.
        (self.position, self.missed) = (None, None);
        *self.tasks.lock() = TaskCache::default();
        for task in self.client.pages(proto::Filter::LIVE).map_while(Result::ok).flatten() {
            self.tasks.lock().put(task);
        }
    }

    fn updated(&mut self, update: &proto::TaskUpdate) {
        self.tasks.lock().apply(update);
        match UpdateKind::from(update) {
            UpdateKind::Reset | UpdateKind::Progress => {}
            UpdateKind::Snapshot => {
                if let (Some(position), Some(missed)) = (&self.position, &mut self.missed) {
                    let changed = update.task.as_ref().filter(|t| t.revision > position.revision);
                    changed.into_iter().for_each(|task| missed.task_differs(task.id));
                }
            }
            UpdateKind::Synced => self.synced(update),
            UpdateKind::Change => {
                if let Some(position) = &mut self.position {
                    position.revision = update.revision;
                }
                if self.client.is_own(update) {
                    return;
                }
                match &mut self.missed {
                    Some(missed) => missed.changed(update),
                    None => self.announcer.announce_change(update.revision, announcement(update)),
                }
            }
        }
    }

    fn synced(&mut self, update: &proto::TaskUpdate) {
        let (list_id, revision) = (update.list_id.clone(), update.revision);
        let before = self.position.replace(Position { list_id, revision });
        let missed = self.missed.take();
        if before.is_some_and(|before| before.list_id != update.list_id) {
            self.announcer.announce_all_again();
            self.announcer.announce("[Online] the server has another list now\n".to_owned());
        } else if let Some(missed) = missed {
            missed.announcements().into_iter().for_each(|text| self.announcer.announce(text));
        }
    }
}
