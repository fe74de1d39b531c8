use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::thread::{Builder, JoinHandle};

use crossbeam_channel::{
    Receiver, Sender, TryRecvError, TrySendError, bounded, never, select, unbounded,
};

use super::codec::{CallError, TaskEncodingCache, UpdateBatch};
use super::history::HistoryCache;
use super::transport::{CompletionQueue, Signal};
use crate::limits::{IDLE_TICK, READS_MAX, STREAM_READS_BYTES_MAX, STREAM_READS_CHECK};
use crate::state::{ChangeLog, StateError};
use crate::store::History;

/// Reads lists and history on threads of their own: a long read would hold up the poll
/// thread. There are several, so that a long listing delays neither the other calls nor
/// the streams.
#[derive(Clone)]
pub(crate) struct Readers {
    calls: Sender<Read>,
    /// Unbounded, but there is at most one entry a watch, and those of watches that have
    /// ended cost nothing.
    watches: Sender<Read>,
}

/// The running reader threads.
pub(crate) struct ReaderThreads {
    /// Its disconnection ends the threads.
    stop: Sender<()>,
    threads: Vec<JoinHandle<()>>,
}

/// What one reader thread reads from.
pub(crate) struct ReadContext {
    pub(crate) history: Box<dyn History>,
    pub(crate) log: Arc<ChangeLog<UpdateBatch>>,
    pub(crate) shared: Arc<SharedContext>,
}

/// What all reader threads share.
#[derive(Default)]
pub(crate) struct SharedContext {
    pub(crate) history_cache: HistoryCache,
    pub(crate) tasks: TaskEncodingCache,
    /// Bytes that were read for streams and that they have not sent yet.
    pub(crate) pending: Arc<AtomicUsize>,
}

/// One read; it is called with an error if it cannot be made.
type Read = Box<dyn FnOnce(Result<&mut ReadContext, CallError>) + Send>;

/// A read that a stream waits for. Dropping it makes the read unwanted.
pub(crate) struct PendingRead<T> {
    answer: Receiver<Result<T, CallError>>,
    _wanted: Arc<()>,
}

impl<T> PendingRead<T> {
    /// While pending, the signal notifies when to poll again.
    pub(crate) fn poll(&self) -> Poll<Result<T, CallError>> {
        match self.answer.try_recv() {
            Ok(answer) => Poll::Ready(answer),
            Err(TryRecvError::Empty) => Poll::Pending,
            Err(TryRecvError::Disconnected) => Poll::Ready(Err(StateError::ShuttingDown.into())),
        }
    }
}

impl Readers {
    /// Starts one thread for each reader of history.
    pub(crate) fn start(
        histories: Vec<Box<dyn History>>,
        log: &Arc<ChangeLog<UpdateBatch>>,
        completions: &CompletionQueue,
    ) -> io::Result<(Readers, ReaderThreads)> {
        let (calls, call_queue) = bounded(READS_MAX);
        let (watches, watch_queue) = unbounded();
        let (stop, stopped) = bounded(0);
        let shared = Arc::<SharedContext>::default();
        let mut threads = ReaderThreads { stop, threads: Vec::new() };
        for (number, history) in histories.into_iter().enumerate() {
            let mut context = ReadContext { history, log: log.clone(), shared: shared.clone() };
            let queues = [call_queue.clone(), watch_queue.clone()];
            let (stopped, completions) = (stopped.clone(), completions.clone());
            let thread = Builder::new()
                .name(format!("reader-{number}"))
                .spawn(move || run(&mut context, &queues, &stopped, &completions));
            match thread {
                Ok(thread) => threads.threads.push(thread),
                Err(error) => {
                    threads.stop();
                    return Err(error);
                }
            }
        }
        Ok((Readers { calls, watches }, threads))
    }

    /// Reads for a call, which `read` completes in any case.
    pub(crate) fn call(
        &self,
        read: impl FnOnce(Result<&mut ReadContext, CallError>) + Send + 'static,
    ) {
        let (read, why) = match self.calls.try_send(Box::new(read)) {
            Ok(()) => return,
            Err(TrySendError::Full(read)) => (read, CallError::TooManyReads { max: READS_MAX }),
            Err(TrySendError::Disconnected(read)) => (read, StateError::ShuttingDown.into()),
        };
        read(Err(why));
    }

    /// Reads for a stream. The signal notifies when the answer is there.
    pub(crate) fn watch<T: Send + 'static>(
        &self,
        signal: &Signal,
        read: impl FnOnce(&mut ReadContext) -> Result<T, CallError> + Send + 'static,
    ) -> PendingRead<T> {
        let (to, answer) = bounded(1);
        let wanted = Arc::new(());
        let (is_wanted, signal) = (Arc::downgrade(&wanted), signal.clone());
        let read: Read = Box::new(move |reading| {
            if is_wanted.strong_count() == 0 {
                return; // the watch has ended
            }
            // Fails only when the watch has ended since.
            let _ = to.send(reading.and_then(read));
            signal.notify();
        });
        // Fails only when the threads have ended: then the answer disconnects.
        let _ = self.watches.send(read);
        PendingRead { answer, _wanted: wanted }
    }
}

impl ReaderThreads {
    /// Finishes the reads in hand and refuses those that wait.
    pub(crate) fn stop(self) {
        drop(self.stop);
        for thread in self.threads {
            // The threads do not panic.
            let _ = thread.join();
        }
    }
}

fn run(
    context: &mut ReadContext,
    [calls, watches]: &[Receiver<Read>; 2],
    stopped: &Receiver<()>,
    completions: &CompletionQueue,
) {
    let blocked = never();
    while stopped.try_recv() != Err(TryRecvError::Disconnected) {
        // Streams wait while clients have much to take. Those that never do are cut off.
        let is_much = context.shared.pending.load(Ordering::Relaxed) > STREAM_READS_BYTES_MAX;
        let watches = if is_much { &blocked } else { watches };
        let read = select! {
            recv(calls) -> read => read,
            recv(watches) -> read => read,
            recv(stopped) -> _ => continue,
            default(if is_much { STREAM_READS_CHECK } else { IDLE_TICK }) => continue,
        };
        let Ok(read) = read else { return };
        read(Ok(context));
        completions.flush();
    }
    for read in calls.try_iter().chain(watches.try_iter()) {
        read(Err(StateError::ShuttingDown.into()));
    }
    completions.flush();
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
