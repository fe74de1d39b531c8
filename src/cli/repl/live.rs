use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use crossbeam_channel::Receiver;
use parking_lot::Mutex;

use super::meanwhile::Meanwhile;
use super::screen::Announcer;
use super::tasks::KnownTasks;
use crate::cli::render::{Shown, announcement};
use crate::client::{
    CallError, Client, Interrupt, Mark, Place, Watch, WatchEvent, WatchOptions, WatchStart, proto,
};

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
        let watch = client.watch(WatchOptions {
            // Deleted ones, too: `restore` offers them.
            filter: proto::Filter::ANY,
            start: WatchStart::Snapshot,
            reconnect: true,
            ..WatchOptions::default()
        })?;
        let events = watch.events().clone();
        let interrupt = Interrupt::default();
        let client = client.with_interrupt(&interrupt);
        let follower =
            Follower { client, announcer, tasks, is_lost: false, place: None, meanwhile: None };
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
    /// What is told of the time without a server; `None` while nothing was missed.
    meanwhile: Option<Meanwhile>,
}

impl Follower {
    fn follow(mut self, events: &Receiver<WatchEvent>) {
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
            if self.place.is_some() {
                self.meanwhile.get_or_insert_default();
            }
            return;
        }
        // The seed's server sends no snapshot. A listing that fails is a loss that the
        // watch announces.
        (self.place, self.meanwhile) = (None, None);
        *self.tasks.lock() = KnownTasks::default();
        for task in self.client.pages(proto::Filter::LIVE).map_while(Result::ok).flatten() {
            self.tasks.lock().put(task);
        }
    }

    fn updated(&mut self, update: &proto::TaskUpdate) {
        self.tasks.lock().apply(update);
        match Mark::of(update) {
            Mark::Reset | Mark::Progress => {}
            Mark::Snapshot => {
                if let (Some(place), Some(meanwhile)) = (&self.place, &mut self.meanwhile) {
                    let changed = update.task.as_ref().filter(|t| t.revision > place.revision);
                    changed.into_iter().for_each(|task| meanwhile.task_differs(task.id));
                }
            }
            Mark::Synced => self.synced(update),
            Mark::Change => {
                if let Some(place) = &mut self.place {
                    place.revision = update.revision;
                }
                if self.client.caused(update) {
                    return;
                }
                match &mut self.meanwhile {
                    Some(meanwhile) => meanwhile.changed(update),
                    None => self.announcer.announce(announcement(update)),
                }
            }
        }
    }

    fn synced(&mut self, update: &proto::TaskUpdate) {
        let (list_id, revision) = (update.list_id.clone(), update.revision);
        let before = self.place.replace(Place { list_id, revision });
        let meanwhile = self.meanwhile.take();
        if before.is_some_and(|before| before.list_id != update.list_id) {
            self.announcer.announce("[Online] this is another list than before\n".to_owned());
        } else if let Some(meanwhile) = meanwhile {
            meanwhile.told().into_iter().for_each(|text| self.announcer.announce(text));
        }
    }
}
