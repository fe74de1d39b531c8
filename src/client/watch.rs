use std::convert::Infallible;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use std::{io, iter, mem};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::sequence::Sequence;
use super::stream::{self, Ask, Stream};
use super::waiter::{Cut, Waiter};
use super::{Backoff, CallError, Client, Code, Mark, Place, proto};
use crate::limits::{WATCH_EVENTS_MAX, WATCH_PROGRESS_INTERVAL, WATCH_SILENCE_MAX};

/// What to watch, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchOptions {
    pub filter: proto::Filter,
    pub start: WatchStart,
    /// Whether to connect again, for ever, when the stream ends for a reason that may
    /// pass, and to go on where it ended.
    pub reconnect: bool,
    /// How long nothing may happen until a PROGRESS tells up to where that is so.
    pub progress: Duration,
}

impl Default for WatchOptions {
    fn default() -> WatchOptions {
        WatchOptions {
            filter: proto::Filter::LIVE,
            start: WatchStart::Now,
            reconnect: false,
            progress: WATCH_PROGRESS_INTERVAL,
        }
    }
}

/// Where a watch begins. The seed's server only knows `Now`, and takes `Snapshot` for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum WatchStart {
    /// With the first change after the first contact.
    #[default]
    Now,
    /// With the list as it is: RESET, SNAPSHOTs, SYNCED. Again if history is gone later.
    Snapshot,
    /// With the first change after a place. If that history is gone, or becomes so:
    /// OUT_OF_RANGE, and the watch ends; or as with `Snapshot`.
    After { place: Place, or_snapshot: bool },
}

/// What a watch tells, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum WatchEvent {
    /// The stream is there. `is_todod`: it goes on where the one before ended; the seed's
    /// server knows no revisions, and only tells what happens from now on.
    Connected { is_todod: bool },
    /// A change or a mark, never packed. No change is missing, comes twice or comes out
    /// of order, however many streams it took; only RESET starts again.
    Update(proto::TaskUpdate),
    /// The stream ended, or the server cannot be reached: the watch tries again. Said
    /// once, until Connected.
    Lost(CallError),
    /// The last event: what it says will not pass, or the watch was not to reconnect.
    Ended(CallError),
}

/// A running watch, on a thread of its own. Dropping it ends the call.
pub struct Watch {
    events: Receiver<WatchEvent>,
    waiter: Arc<Waiter>,
    thread: Option<JoinHandle<()>>,
}

impl Client {
    pub fn watch(&self, options: WatchOptions) -> io::Result<Watch> {
        self.watch_within(options, WATCH_SILENCE_MAX)
    }

    /// `silence_max`: a stream that says nothing for so long is lost.
    fn watch_within(&self, options: WatchOptions, silence_max: Duration) -> io::Result<Watch> {
        let (sender, events) = bounded(WATCH_EVENTS_MAX);
        let waiter = Arc::new(Waiter::default());
        let place = match &options.start {
            WatchStart::Now | WatchStart::Snapshot => None,
            WatchStart::After { place, .. } => Some(place.clone()),
        };
        let run = Run {
            client: self.clone(),
            sequence: Sequence::new(options.filter, place),
            options,
            events: sender,
            waiter: waiter.clone(),
            silence_max,
            is_connected: false,
        };
        let thread = Builder::new().name("watch".to_owned()).spawn(move || run.run())?;
        Ok(Watch { events, waiter, thread: Some(thread) })
    }
}

impl Watch {
    /// Disconnects after `Ended`.
    pub fn events(&self) -> &Receiver<WatchEvent> {
        &self.events
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.waiter.stop();
        // Unblocks a thread that has an event to hand over.
        self.events = crossbeam_channel::never();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Run {
    client: Client,
    options: WatchOptions,
    sequence: Sequence,
    events: Sender<WatchEvent>,
    waiter: Arc<Waiter>,
    silence_max: Duration,
    /// Whether the stream is there, and was said to be.
    is_connected: bool,
}

/// Why there is no more of a stream.
enum End {
    Lost(CallError),
    /// Nobody listens any more.
    Unwanted,
}

impl From<CallError> for End {
    fn from(lost: CallError) -> End {
        End::Lost(lost)
    }
}

impl Run {
    fn run(mut self) {
        let mut backoff = Backoff::default();
        let mut said_lost = false;
        loop {
            self.is_connected = false;
            let Err(End::Lost(lost)) = self.stream() else { return };
            if self.is_connected {
                (backoff, said_lost) = (Backoff::default(), false);
            }
            // History that is gone is no end for who makes do with the list as it is.
            let is_gone = lost.code == Code::OutOfRange && self.may_snapshot();
            let goes_on = self.options.reconnect && (lost.code.may_pass() || is_gone);
            if !goes_on {
                let _ = self.tell(WatchEvent::Ended(lost)); // or nobody listens any more
                return;
            }
            if !said_lost && self.tell(WatchEvent::Lost(lost)).is_err() {
                return;
            }
            said_lost = true;
            if !self.waiter.sleep(backoff.next_wait()) {
                return;
            }
        }
    }

    /// One stream, to its end.
    fn stream(&mut self) -> Result<Infallible, End> {
        // First who is there, and where: the seed's server says nothing until something
        // happens.
        let here = self.client.probe(self.client.call_option());
        let here = self.waiter.block_on(None, here).map_err(|_| End::Unwanted)??;
        let is_todod = here.is_some();
        self.locate(here)?;
        let mut stream = Stream::open(&self.client, &self.ask())?;
        if !is_todod {
            self.connected(false)?;
        }
        loop {
            let update = self.next(&mut stream, is_todod)?;
            self.take(update, is_todod)?;
        }
    }

    /// Makes up for what is not known yet of where the watch is.
    fn locate(&mut self, here: Option<Place>) -> Result<(), CallError> {
        let place = &mut self.sequence.place;
        match (here, &self.options.start) {
            (None, WatchStart::Snapshot) => *place = None,
            (None, WatchStart::Now) if place.is_none() => {}
            (None, _) => {
                return Err(CallError::needs_todod(self.client.server(), "keeps no history"));
            }
            (Some(here), WatchStart::Now) => {
                place.get_or_insert(here);
            }
            (Some(here), WatchStart::Snapshot | WatchStart::After { .. }) => {
                if let Some(place) = place.as_mut().filter(|place| place.list_id.is_empty()) {
                    place.list_id = here.list_id;
                }
            }
        }
        Ok(())
    }

    fn ask(&self) -> Ask<'_> {
        Ask {
            filter: self.options.filter,
            after: self.sequence.place.as_ref(),
            snapshot: self.may_snapshot(),
            progress: self.options.progress,
        }
    }

    fn may_snapshot(&self) -> bool {
        match self.options.start {
            WatchStart::Now => false,
            WatchStart::Snapshot => true,
            WatchStart::After { or_snapshot, .. } => or_snapshot,
        }
    }

    /// The next message. `todod` is never silent for long.
    fn next(&self, stream: &mut Stream, is_todod: bool) -> Result<proto::TaskUpdate, End> {
        let deadline = is_todod.then(|| Instant::now() + self.silence_max);
        match self.waiter.block_on(deadline, stream.next()) {
            Ok(next) => Ok(next?),
            Err(Cut::Late) => Err(stream::silent(&self.client, self.silence_max).into()),
            Err(Cut::Stopped) => Err(End::Unwanted),
        }
    }

    /// Hands over what a message holds.
    fn take(&mut self, mut update: proto::TaskUpdate, is_todod: bool) -> Result<(), End> {
        let more = mem::take(&mut update.more);
        for update in iter::once(update).chain(more) {
            if is_todod {
                self.check(&update).map_err(|why| stream::disordered(&self.client, &why))?;
                self.connected(true)?;
            }
            self.tell(WatchEvent::Update(update))?;
        }
        Ok(())
    }

    fn check(&mut self, update: &proto::TaskUpdate) -> Result<(), String> {
        if !update.more.is_empty() {
            return Err("updates within updates of an update".to_owned());
        }
        if Mark::of(update) == Mark::Reset && !self.may_snapshot() {
            return Err("a RESET that was not asked for".to_owned());
        }
        self.sequence.take(update)
    }

    fn connected(&mut self, is_todod: bool) -> Result<(), End> {
        if mem::replace(&mut self.is_connected, true) {
            return Ok(());
        }
        self.tell(WatchEvent::Connected { is_todod })
    }

    fn tell(&self, event: WatchEvent) -> Result<(), End> {
        self.events.send(event).map_err(|_| End::Unwanted)
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
