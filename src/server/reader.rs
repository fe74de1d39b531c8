use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{Builder, JoinHandle};

use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError, bounded, select, unbounded};

use super::blocks::Blocks;
use super::outbox::Outbox;
use super::wakes::Signal;
use crate::limits::{READS_MAX, STRETCHES_BYTES_MAX};
use crate::model::Rejection;
use crate::rpc::Encodings;
use crate::state::HistoryReader;

/// Reads lists and history on a thread of its own: a long read would hold up the poll
/// thread, and the state thread even more.
#[derive(Clone)]
pub struct Reader {
    calls: Sender<Read>,
    /// Unbounded, but there is at most one entry a watch.
    watches: Sender<Read>,
}

/// The running reader thread.
pub struct ReaderThread {
    /// Its disconnection ends the thread.
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

/// What is read from, by the reader thread alone.
pub struct Reading {
    pub history: HistoryReader,
    pub blocks: Blocks,
    pub encodings: Encodings,
    pub pending: Pending,
}

/// What streams have not sent yet of what was read for them.
#[derive(Default)]
pub struct Pending {
    pub bytes: Arc<AtomicUsize>,
}

impl Pending {
    /// Refuses more when there is much already: the stream ends, and goes on later.
    pub fn check(&self) -> Result<(), Rejection> {
        match self.bytes.load(Ordering::Relaxed) > STRETCHES_BYTES_MAX {
            true => Err(Rejection::StreamsPending),
            false => Ok(()),
        }
    }
}

/// One read, or why there is none.
type Read = Box<dyn FnOnce(Result<&mut Reading, Rejection>) + Send>;

impl Reader {
    pub fn start(history: HistoryReader, outbox: Outbox) -> io::Result<(Reader, ReaderThread)> {
        let (calls, call_queue) = bounded(READS_MAX);
        let (watches, watch_queue) = unbounded();
        let (stop, stopped) = bounded(0);
        let reading = Reading {
            history,
            blocks: Blocks::default(),
            encodings: Encodings::default(),
            pending: Pending::default(),
        };
        let thread = Builder::new()
            .name("reader".to_owned())
            .spawn(move || run(reading, [&call_queue, &watch_queue], &stopped, &outbox))?;
        Ok((Reader { calls, watches }, ReaderThread { stop, thread }))
    }

    /// Reads for a call, which `read` completes in any case.
    pub fn call(&self, read: impl FnOnce(Result<&mut Reading, Rejection>) + Send + 'static) {
        let (read, why) = match self.calls.try_send(Box::new(read)) {
            Ok(()) => return,
            Err(TrySendError::Full(read)) => (read, Rejection::QueueFull { max: READS_MAX }),
            Err(TrySendError::Disconnected(read)) => (read, Rejection::ShuttingDown),
        };
        read(Err(why));
    }

    /// Reads for a watch. The signal is raised when the answer is there; if it
    /// disconnects, the server is shutting down.
    pub fn watch<T: Send + 'static>(
        &self,
        signal: &Signal,
        read: impl FnOnce(&mut Reading) -> Result<T, Rejection> + Send + 'static,
    ) -> Receiver<Result<T, Rejection>> {
        let (to, answer) = bounded(1);
        let signal = signal.clone();
        let read: Read = Box::new(move |reading| {
            // Fails only when the stream's client is gone.
            let _ = to.send(reading.and_then(read));
            signal.raise();
        });
        // Fails only when the thread is gone: then the answer disconnects.
        let _ = self.watches.send(read);
        answer
    }
}

impl ReaderThread {
    /// Finishes the read in hand and refuses those that wait.
    pub fn stop(self) {
        drop(self.stop);
        // The thread does not panic.
        let _ = self.thread.join();
    }
}

fn run(
    mut reading: Reading,
    queues: [&Receiver<Read>; 2],
    stopped: &Receiver<()>,
    outbox: &Outbox,
) {
    let [calls, watches] = queues;
    while stopped.try_recv() != Err(TryRecvError::Disconnected) {
        let read = select! {
            recv(calls) -> read => read,
            recv(watches) -> read => read,
            recv(stopped) -> _ => continue,
        };
        let Ok(read) = read else { return };
        read(Ok(&mut reading));
        outbox.flush();
    }
    for read in calls.try_iter().chain(watches.try_iter()) {
        read(Err(Rejection::ShuttingDown));
    }
    outbox.flush();
}
