//! Calls that other threads have answered, on their way to the poll thread.
//!
//! Completing a call on another thread costs a wake through the C core for each call. Here any
//! thread pushes its answers, and one [`CompletionQueue::flush`] per batch wakes the pump, which
//! completes all of them on the poll thread.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crossbeam_channel::{Receiver, Sender, unbounded};
use futures_util::stream::{FuturesUnordered, Stream};
use futures_util::task::AtomicWaker;
use grpcio::{RpcStatus, UnarySink, UnarySinkResult};

use super::run_queue::{PacerThread, RunQueue, Scheduler};

/// The sending side, for any thread.
///
/// The channel is unbounded, but it holds at most one entry per queued call, and the number of
/// queued calls is limited.
#[derive(Clone)]
pub(crate) struct CompletionQueue {
    calls: Sender<Finish>,
    queue: Receiver<Finish>,
    /// Calls that were completed outside the pump.
    completed: Sender<Finishing>,
    run_queue: RunQueue,
    shared: Arc<Shared>,
    waker: Waker,
}

/// Wakes the pump on behalf of a call that it does not hold yet.
struct PumpWaker(Arc<AtomicWaker>);

impl Wake for PumpWaker {
    fn wake(self: Arc<Self>) {
        self.0.wake();
    }
}

#[derive(Default)]
struct Shared {
    pump: Arc<AtomicWaker>,
    closed: AtomicBool,
    /// Bytes of large answers that clients have not received.
    pending_bytes: Arc<AtomicUsize>,
}

/// A call that has its answer.
pub(crate) trait Answered: Send {
    /// Completes the call. Keep the returned future until it resolves: dropping it cancels the
    /// call.
    fn complete(self: Box<Self>) -> UnarySinkResult;
}

struct Finish {
    call: Box<dyn Answered>,
    held: Option<HeldBytes>,
}

/// Bytes of an answer, counted until the call is over.
struct HeldBytes {
    bytes: usize,
    total: Arc<AtomicUsize>,
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The future that completes the calls and starts the rounds of the streams. It runs on the poll
/// thread until the queue is closed.
pub(crate) struct Pump {
    calls: Receiver<Finish>,
    completed: Receiver<Finishing>,
    scheduler: Scheduler,
    finishing: FuturesUnordered<Finishing>,
    shared: Arc<Shared>,
}

/// A completed call whose answer is on its way. Dropping it cancels the call.
struct Finishing {
    result: UnarySinkResult,
    _held: Option<HeldBytes>,
}

impl CompletionQueue {
    pub(crate) fn open() -> io::Result<(CompletionQueue, Pump, PacerThread)> {
        let (calls, queue) = unbounded();
        let (completed, completed_queue) = unbounded();
        let shared = Arc::<Shared>::default();
        let (run_queue, scheduler, pacer) = RunQueue::start(shared.pump.clone())?;
        let pump = Pump {
            calls: queue.clone(),
            completed: completed_queue,
            scheduler,
            finishing: FuturesUnordered::new(),
            shared: shared.clone(),
        };
        let waker = Waker::from(Arc::new(PumpWaker(shared.pump.clone())));
        Ok((CompletionQueue { calls, queue, completed, run_queue, shared, waker }, pump, pacer))
    }

    /// Completes the call with the result of `response`, on the poll thread.
    pub(crate) fn finish<T: 'static>(
        &self,
        sink: UnarySink<T>,
        response: impl FnOnce() -> Result<T, RpcStatus> + Send + 'static,
    ) {
        self.push(Finish { call: Box::new(Response { sink, response }), held: None });
    }

    /// Completes the call, on the poll thread.
    pub(crate) fn complete(&self, call: Box<dyn Answered>) {
        self.push(Finish { call, held: None });
    }

    /// Completes the call with a large answer. Its bytes count as pending until the client has
    /// received them or is gone.
    pub(crate) fn finish_large<T: Send + 'static>(
        &self,
        sink: UnarySink<T>,
        bytes: usize,
        answer: T,
    ) {
        let total = self.shared.pending_bytes.clone();
        total.fetch_add(bytes, Ordering::Relaxed);
        let held = Some(HeldBytes { bytes, total });
        let response = move || Ok(answer);
        self.push(Finish { call: Box::new(Response { sink, response }), held });
    }

    /// Bytes of large answers that clients have not received.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.shared.pending_bytes.load(Ordering::Relaxed)
    }

    /// The queue of the watch streams, which the pump serves, too.
    pub(crate) fn run_queue(&self) -> &RunQueue {
        &self.run_queue
    }

    /// Wakes the pump: once for everything that was pushed before. A single call is completed
    /// here, so its client has the answer before the poll thread is awake. What is left of it
    /// wakes the pump on the poll thread, where that costs little.
    pub(crate) fn flush(&self) {
        let alone = match self.queue.len() {
            1 => self.queue.try_recv().ok(),
            _ => None,
        };
        let Some(alone) = alone else { return self.shared.pump.wake() };
        let mut completed = alone.complete();
        if Pin::new(&mut completed).poll(&mut Context::from_waker(&self.waker)).is_pending() {
            let _ = self.completed.send(completed); // as in `push`
        }
        if self.run_queue.has_waiting() {
            self.shared.pump.wake();
        }
    }

    /// Completes what waits for the pump, on the poll thread, which calls it.
    pub(crate) fn complete_now(&self) {
        for finish in self.queue.try_iter() {
            let _ = self.completed.send(finish.complete()); // as in `push`
        }
    }

    /// Ends the pump. Calls that are not complete by then are cancelled.
    pub(crate) fn close(&self) {
        self.shared.closed.store(true, Ordering::Release);
        self.flush();
    }

    fn push(&self, finish: Finish) {
        // Fails only when the pump has ended, and with it every call.
        let _ = self.calls.send(finish);
    }
}

impl Finish {
    fn complete(self) -> Finishing {
        Finishing { result: self.call.complete(), _held: self.held }
    }
}

struct Response<T, R> {
    sink: UnarySink<T>,
    response: R,
}

impl<T, R> Answered for Response<T, R>
where
    R: FnOnce() -> Result<T, RpcStatus> + Send,
{
    fn complete(self: Box<Self>) -> UnarySinkResult {
        let Response { sink, response } = *self;
        match response() {
            Ok(response) => sink.success(response),
            Err(status) => sink.fail(status),
        }
    }
}

impl Future for Pump {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Registered before looking, so that a later push wakes the pump again.
        self.shared.pump.register(cx.waker());
        if self.shared.closed.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        while let Ok(finish) = self.calls.try_recv() {
            self.finishing.push(finish.complete());
        }
        while let Ok(completed) = self.completed.try_recv() {
            self.finishing.push(completed);
        }
        self.scheduler.start_round();
        // The result is ignored: the client may be gone.
        while let Poll::Ready(Some(())) = Pin::new(&mut self.finishing).poll_next(cx) {}
        Poll::Pending
    }
}

impl Future for Finishing {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.result).poll(cx).map(drop)
    }
}
