use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use crossbeam_channel::Receiver;
use parking_lot::Mutex;

use super::screen::Announcer;
use super::tasks::KnownTasks;
use crate::cli::commands::{Mark, mark};
use crate::cli::render::{Shown, announcement};
use crate::client::{Client, Interrupt, Watch, WatchEvent, WatchOptions, proto};

/// How many of the tasks that changed meanwhile are named.
const MISSED_SHOWN: usize = 10;

/// Follows the list behind the prompt, on a thread of its own: what others change is
/// announced, and what there is to complete is kept.
pub struct Live {
    watch: Watch,
    thread: JoinHandle<()>,
    interrupt: Interrupt,
}

impl Live {
    pub fn start(
        client: &Client,
        announcer: Announcer,
        tasks: Arc<Mutex<KnownTasks>>,
    ) -> io::Result<Live> {
        // Deleted ones, too: `restore` offers them.
        let filter = proto::Filter::ANY;
        let watch = client.watch(WatchOptions { filter, snapshot: true, reconnect: true })?;
        let events = watch.events().clone();
        let interrupt = Interrupt::default();
        let client = client.with_interrupt(&interrupt);
        let follower =
            Follower { client, announcer, tasks, is_lost: false, place: None, missed: Vec::new() };
        let thread =
            Builder::new().name("repl-watch".to_owned()).spawn(move || follower.follow(&events))?;
        Ok(Live { watch, thread, interrupt })
    }

    pub fn stop(self) {
        self.interrupt.raise();
        drop(self.watch);
        // The thread does not panic.
        let _ = self.thread.join();
    }
}

struct Follower {
    client: Client,
    announcer: Announcer,
    tasks: Arc<Mutex<KnownTasks>>,
    /// The loss was announced, the return was not yet.
    is_lost: bool,
    /// Up to where the list is known; `None` before the first snapshot is complete.
    place: Option<Place>,
    /// Tasks of a snapshot that changed after `place`.
    missed: Vec<i32>,
}

struct Place {
    list_id: String,
    revision: i64,
}

impl Follower {
    fn follow(mut self, events: &Receiver<WatchEvent>) {
        for event in events {
            match event {
                WatchEvent::Connected { is_todod } => self.connected(is_todod),
                WatchEvent::Update(update) => self.updated(&update),
                WatchEvent::Lost(why) => {
                    self.is_lost = true;
                    let why = why.to_string();
                    self.announcer.announce(format!("[Offline] {}; trying again\n", Shown(&why)));
                }
            }
        }
    }

    fn connected(&mut self, is_todod: bool) {
        if self.is_lost {
            self.is_lost = false;
            let server = Shown(self.client.server());
            self.announcer.announce(format!("[Online] connected to {server}\n"));
        }
        if !is_todod {
            // The seed's server sends no snapshot. A listing that fails is a loss that
            // the watch announces.
            *self.tasks.lock() = KnownTasks::default();
            for task in self.client.pages(proto::Filter::LIVE).map_while(Result::ok).flatten() {
                self.tasks.lock().put(task);
            }
        }
    }

    fn updated(&mut self, update: &proto::TaskUpdate) {
        self.tasks.lock().apply(update);
        match mark(update) {
            Mark::Reset => self.missed.clear(),
            Mark::Snapshot => {
                let known = self.place.as_ref().map_or(i64::MAX, |place| place.revision);
                self.missed.extend(update.task.iter().filter(|t| t.revision > known).map(|t| t.id));
            }
            Mark::Synced => self.synced(update),
            Mark::Change => {
                if let Some(place) = &mut self.place {
                    place.revision = update.revision;
                }
                if !self.client.caused(update) {
                    self.announcer.announce(announcement(update));
                }
            }
        }
    }

    /// What happened meanwhile is not shown one by one, but it is said.
    fn synced(&mut self, update: &proto::TaskUpdate) {
        let (list_id, revision) = (update.list_id.clone(), update.revision);
        let before = self.place.replace(Place { list_id, revision });
        match before {
            Some(before) if before.list_id != update.list_id => {
                self.announcer.announce("[Online] this is another list than before\n".to_owned());
            }
            Some(_) if !self.missed.is_empty() => {
                let ids: Vec<_> =
                    self.missed.iter().take(MISSED_SHOWN).map(i32::to_string).collect();
                let more = if self.missed.len() > MISSED_SHOWN { ", ..." } else { "" };
                let ids = ids.join(", ");
                self.announcer.announce(format!("[Online] changed meanwhile: {ids}{more}\n"));
            }
            Some(_) | None => {}
        }
    }
}
