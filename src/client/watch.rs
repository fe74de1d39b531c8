use std::io;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use futures_executor::block_on;
use futures_util::StreamExt;
use futures_util::future::{AbortHandle, Abortable};
use grpcio::CallOption;

use super::{CallError, Client, Code, proto};
use crate::limits::{RECONNECT_BACKOFF_MAX, RECONNECT_BACKOFF_MIN, WATCH_EVENTS_MAX};
use crate::rpc::methods::WATCH_TASKS;

/// What to watch, and how.
#[derive(Debug, Clone, Copy, Default)]
pub struct WatchOptions {
    pub filter: proto::Filter,
    /// Whether the list as it is comes first: RESET, SNAPSHOTs, SYNCED. The seed's
    /// server sends none of it.
    pub snapshot: bool,
    /// Whether to connect again, for ever, when the stream ends.
    pub reconnect: bool,
}

/// What a watch tells, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum WatchEvent {
    /// The server is there. `is_todod`: it knows snapshots; the seed's does not.
    Connected {
        is_todod: bool,
    },
    Update(proto::TaskUpdate),
    /// The stream ended, or the server cannot be reached. Said once, until Connected.
    Lost(CallError),
}

/// A running watch, on a thread of its own. Dropping it ends the call.
pub struct Watch {
    events: Receiver<WatchEvent>,
    abort: AbortHandle,
    /// Its disconnection wakes a thread that waits to reconnect.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Client {
    pub fn watch(&self, options: WatchOptions) -> io::Result<Watch> {
        let (sender, events) = bounded(WATCH_EVENTS_MAX);
        let (stop, stopped) = bounded(0);
        let (abort, registration) = AbortHandle::new_pair();
        let run = Run { client: self.clone(), options, events: sender, stopped };
        let thread = Builder::new().name("watch".to_owned()).spawn(move || {
            // Aborted or not: the thread is done.
            let _ = block_on(Abortable::new(run.run(), registration));
        })?;
        Ok(Watch { events, abort, stop: Some(stop), thread: Some(thread) })
    }
}

impl Watch {
    /// Disconnects after the stream's end, unless the watch reconnects.
    pub fn events(&self) -> &Receiver<WatchEvent> {
        &self.events
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.abort.abort();
        self.stop = None;
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
    events: Sender<WatchEvent>,
    stopped: Receiver<()>,
}

impl Run {
    async fn run(self) {
        let mut backoff = RECONNECT_BACKOFF_MIN;
        let mut said_lost = false;
        loop {
            let mut connected = false;
            let Err(lost) = self.stream(&mut connected).await else {
                return;
            };
            if connected {
                (backoff, said_lost) = (RECONNECT_BACKOFF_MIN, false);
            }
            if !said_lost && self.events.send(WatchEvent::Lost(lost)).is_err() {
                return;
            }
            said_lost = true;
            if !self.options.reconnect {
                return;
            }
            if self.stopped.recv_timeout(jittered(backoff)) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            backoff = (backoff * 2).min(RECONNECT_BACKOFF_MAX);
        }
    }

    /// One stream, to its end: `Ok` if nobody listens any more.
    async fn stream(&self, connected: &mut bool) -> Result<(), CallError> {
        // A stream says nothing until something happens, so ask first who is there.
        let server = self.client.probe(self.client.call_option()).await?;
        *connected = true;
        let is_todod = server.is_todod;
        if self.events.send(WatchEvent::Connected { is_todod }).is_err() {
            return Ok(());
        }
        let request = proto::WatchTasksRequest {
            snapshot: self.options.snapshot,
            filter: self.options.filter.into(),
            ..Default::default()
        };
        let failed = |e| CallError::of(&e, WATCH_TASKS.name, self.client.server());
        let grpc = &self.client.grpc;
        let mut updates =
            grpc.server_streaming(&WATCH_TASKS, &request, CallOption::default()).map_err(failed)?;
        let mut end = None;
        while let Some(update) = updates.next().await {
            match update {
                Ok(update) => {
                    if self.events.send(WatchEvent::Update(update)).is_err() {
                        return Ok(());
                    }
                }
                // The transport tells of the end as soon as it knows, ahead of the
                // messages that came before it: those are still there to read.
                Err(e) if end.is_none() => end = Some(failed(e)),
                Err(e) => return Err(failed(e)),
            }
        }
        // A watch has no end of its own; a server that ends it is going away.
        Err(end.unwrap_or_else(|| {
            let why = format!("{} ended the watch", self.client.server());
            CallError::new(Code::Unavailable, why)
        }))
    }
}

/// Between half of it and all: so that the clients of a server that comes back do not
/// all come at once.
fn jittered(backoff: Duration) -> Duration {
    let mut random = [0];
    // Without random bytes there is no jitter, which is no reason to stop.
    let _ = getrandom::fill(&mut random);
    backoff.mul_f64(0.5 + f64::from(random[0]) / 512.0)
}
