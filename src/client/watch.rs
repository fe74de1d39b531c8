use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::waiter::Waiter;
use super::{Client, WatchEvent, WatchOptions, WatchStream};
use crate::limits::WATCH_EVENTS_MAX;

/// A [`WatchStream`] on a thread of its own. Dropping it ends the call and the thread.
pub struct Watch {
    events: Receiver<WatchEvent>,
    waiter: Arc<Waiter>,
    thread: Option<JoinHandle<()>>,
}

impl Client {
    /// Starts a watch. Fails if there can be no thread.
    pub fn watch(&self, options: WatchOptions) -> io::Result<Watch> {
        let (sender, events) = bounded(WATCH_EVENTS_MAX);
        let waiter = Arc::new(Waiter::default());
        let stream = self.watch_stream(options, waiter.clone());
        let running = waiter.clone();
        let thread = Builder::new()
            .name("watch".to_owned())
            .spawn(move || forward(stream, &running, &sender))?;
        Ok(Watch { events, waiter, thread: Some(thread) })
    }
}

impl Watch {
    /// The events, to the one that is `Ended`.
    pub fn events(&self) -> &Receiver<WatchEvent> {
        &self.events
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.waiter.stop();
        // Unblocks a thread that is handing over an event.
        self.events = crossbeam_channel::never();
        if let Some(thread) = self.thread.take() {
            // The thread does not panic.
            let _ = thread.join();
        }
    }
}

fn forward(mut stream: WatchStream<Arc<Waiter>>, waiter: &Arc<Waiter>, to: &Sender<WatchEvent>) {
    while let Some(event) = waiter.block_on(stream.next()) {
        let is_end = matches!(event, WatchEvent::Ended(_));
        if to.send(event).is_err() || is_end {
            return;
        }
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
