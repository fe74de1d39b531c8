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
        let follower = Follower { client, announcer, tasks, is_lost: false };
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

    fn updated(&self, update: &proto::TaskUpdate) {
        self.tasks.lock().apply(update);
        if mark(update) == Mark::Change && !self.client.caused(update) {
            self.announcer.announce(announcement(update));
        }
    }
}
