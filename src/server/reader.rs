use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::thread::{Builder, JoinHandle};

use crossbeam_channel::{
    Receiver, Sender, TryRecvError, TrySendError, bounded, never, select, unbounded,
};

use super::blocks::Blocks;
use super::transport::{CompletionQueue, Signal};
use crate::limits::{IDLE_TICK, READS_MAX, STRETCHES_BYTES_MAX, STRETCHES_CHECK};
use crate::model::Rejection;
use crate::rpc::Encodings;
use crate::state::HistoryReader;

/// Reads lists and history on a thread of its own: a long read would hold up the poll
/// thread, and the state thread even more.
#[derive(Clone)]
pub struct Reader {
    calls: Sender<Read>,
    /// Unbounded, but there is at most one entry a watch, and those of watches that are
    /// over cost nothing.
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
    /// Bytes that streams have not sent yet of what was read for them.
    pub pending: Arc<AtomicUsize>,
}

/// One read, or why there is none.
type Read = Box<dyn FnOnce(Result<&mut Reading, Rejection>) + Send>;

/// A read that a watch waits for. Dropping it makes the read unwanted.
pub struct Asked<T> {
    answer: Receiver<Result<T, Rejection>>,
    _wanted: Arc<()>,
}

impl<T> Asked<T> {
    /// When pending, the signal tells.
    pub fn poll(&self) -> Poll<Result<T, Rejection>> {
        match self.answer.try_recv() {
            Ok(answer) => Poll::Ready(answer),
            Err(TryRecvError::Empty) => Poll::Pending,
            Err(TryRecvError::Disconnected) => Poll::Ready(Err(Rejection::ShuttingDown)),
        }
    }
}

impl Reader {
    pub fn start(
        history: HistoryReader,
        completions: CompletionQueue,
    ) -> io::Result<(Reader, ReaderThread)> {
        let (calls, call_queue) = bounded(READS_MAX);
        let (watches, watch_queue) = unbounded();
        let (stop, stopped) = bounded(0);
        let reading = Reading {
            history,
            blocks: Blocks::default(),
            encodings: Encodings::default(),
            pending: Arc::default(),
        };
        let thread = Builder::new()
            .name("reader".to_owned())
            .spawn(move || run(reading, [&call_queue, &watch_queue], &stopped, &completions))?;
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

    /// Reads for a watch. The signal notifies when the answer is there.
    pub fn watch<T: Send + 'static>(
        &self,
        signal: &Signal,
        read: impl FnOnce(&mut Reading) -> Result<T, Rejection> + Send + 'static,
    ) -> Asked<T> {
        let (to, answer) = bounded(1);
        let wanted = Arc::new(());
        let (is_wanted, signal) = (Arc::downgrade(&wanted), signal.clone());
        let read: Read = Box::new(move |reading| {
            if is_wanted.strong_count() == 0 {
                return; // the watch is over: nobody is to wait for a read that nobody wants
            }
            // Fails only when the watch was over just now.
            let _ = to.send(reading.and_then(read));
            signal.notify();
        });
        // Fails only when the thread is gone: then the answer disconnects.
        let _ = self.watches.send(read);
        Asked { answer, _wanted: wanted }
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
    completions: &CompletionQueue,
) {
    let [calls, watches] = queues;
    let nothing = never();
    while stopped.try_recv() != Err(TryRecvError::Disconnected) {
        // Much is on its way to clients that have not taken it: they come first. Those
        // that never do are cut off.
        let is_much = reading.pending.load(Ordering::Relaxed) > STRETCHES_BYTES_MAX;
        let watches = if is_much { &nothing } else { watches };
        let read = select! {
            recv(calls) -> read => read,
            recv(watches) -> read => read,
            recv(stopped) -> _ => continue,
            default(if is_much { STRETCHES_CHECK } else { IDLE_TICK }) => continue,
        };
        let Ok(read) = read else { return };
        read(Ok(&mut reading));
        completions.flush();
    }
    for read in calls.try_iter().chain(watches.try_iter()) {
        read(Err(Rejection::ShuttingDown));
    }
    completions.flush();
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
