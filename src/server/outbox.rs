use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crossbeam_channel::{Receiver, Sender, unbounded};
use futures_util::stream::{FuturesUnordered, Stream};
use futures_util::task::AtomicWaker;
use grpcio::{RpcStatus, UnarySink, UnarySinkResult};

use super::wakes::{PacerThread, Slices, Wakes};

/// Work that other threads have for the poll thread.
///
/// Completing a call from another thread costs a wake through the C core each time;
/// here everybody pushes, and one [`Outbox::flush`] per turn wakes the pump, which does
/// it all on the poll thread, unless a handler was there first ([`Outbox::complete_now`]). The queue of calls is unbounded in itself: it holds at
/// most one entry per queued call, and those have a limit.
#[derive(Clone)]
pub struct Outbox {
    calls: Sender<Finish>,
    queue: Receiver<Finish>,
    /// Calls that were completed on another thread.
    completed: Sender<Finishing>,
    wakes: Wakes,
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
    /// Bytes of large answers that clients have not taken.
    pending_bytes: Arc<AtomicUsize>,
}

/// A call that has its answer.
pub trait Answered: Send {
    /// Completes the call. What this returns must be kept until it resolves: dropping it
    /// cancels the call.
    fn complete(self: Box<Self>) -> UnarySinkResult;
}

struct Finish {
    call: Box<dyn Answered>,
    held: Option<Held>,
}

/// Bytes of an answer, counted until the call is over.
struct Held {
    bytes: usize,
    total: Arc<AtomicUsize>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The future that does the work, for the life of the server.
pub struct Pump {
    calls: Receiver<Finish>,
    completed: Receiver<Finishing>,
    slices: Slices,
    finishing: FuturesUnordered<Finishing>,
    shared: Arc<Shared>,
}

/// A call that was completed. Dropping it too early cancels the call.
struct Finishing {
    result: UnarySinkResult,
    _held: Option<Held>,
}

pub fn outbox() -> io::Result<(Outbox, Pump, PacerThread)> {
    let (calls, call_queue) = unbounded();
    let shared = Arc::<Shared>::default();
    let (wakes, slices, pacer) = Wakes::start(shared.pump.clone())?;
    let finishing = FuturesUnordered::new();
    let (completed, completed_queue) = unbounded();
    let queue = call_queue.clone();
    let pump = Pump {
        calls: call_queue,
        completed: completed_queue,
        slices,
        finishing,
        shared: shared.clone(),
    };
    let waker = Waker::from(Arc::new(PumpWaker(shared.pump.clone())));
    Ok((Outbox { calls, queue, completed, wakes, shared, waker }, pump, pacer))
}

impl Outbox {
    /// Completes the call with what `response` makes, on the poll thread.
    pub fn finish<T: 'static>(
        &self,
        sink: UnarySink<T>,
        response: impl FnOnce() -> Result<T, RpcStatus> + Send + 'static,
    ) {
        self.push(Finish { call: Box::new(Response { sink, response }), held: None });
    }

    /// Completes the call, on the poll thread.
    pub fn complete(&self, call: Box<dyn Answered>) {
        self.push(Finish { call, held: None });
    }

    /// Completes the call with a large answer, whose bytes count as pending until the
    /// client has taken them or is gone.
    pub fn finish_large<T: Send + 'static>(&self, sink: UnarySink<T>, bytes: usize, answer: T) {
        let total = self.shared.pending_bytes.clone();
        total.fetch_add(bytes, Ordering::Relaxed);
        let held = Some(Held { bytes, total });
        let response = move || Ok(answer);
        self.push(Finish { call: Box::new(Response { sink, response }), held });
    }

    /// Bytes of large answers that clients have not taken.
    pub fn pending_bytes(&self) -> usize {
        self.shared.pending_bytes.load(Ordering::Relaxed)
    }

    /// The queue of the watch streams, which the pump serves, too.
    pub fn wakes(&self) -> &Wakes {
        &self.wakes
    }

    /// Wakes the pump: once for all that was pushed before. One call alone is completed
    /// here: its client has its answer before the poll thread is awake. What is left of it
    /// wakes the pump, on the poll thread, where that costs little.
    pub fn flush(&self) {
        let alone = match self.queue.len() {
            1 => self.queue.try_recv().ok(),
            _ => None,
        };
        let Some(alone) = alone else { return self.shared.pump.wake() };
        let mut completed = alone.complete();
        if Pin::new(&mut completed).poll(&mut Context::from_waker(&self.waker)).is_pending() {
            let _ = self.completed.send(completed); // as in `push`
        }
        if self.wakes.are_waiting() {
            self.shared.pump.wake();
        }
    }

    /// Completes on the poll thread, which calls it, what waits for the pump.
    pub fn complete_now(&self) {
        for finish in self.queue.try_iter() {
            let _ = self.completed.send(finish.complete()); // as in `push`
        }
    }

    /// Ends the pump. Calls that are not complete by then are cancelled.
    pub fn close(&self) {
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
        // Registered before looking, so that what is pushed meanwhile wakes us again.
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
        self.slices.next();
        // Whether a client still took its answer is the client's affair.
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
