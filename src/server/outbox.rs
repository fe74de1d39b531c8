use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use crossbeam_channel::{Receiver, Sender, unbounded};
use futures_util::stream::{FuturesUnordered, Stream};
use futures_util::task::AtomicWaker;
use grpcio::{RpcStatus, UnarySink, UnarySinkResult};

/// Work that other threads have for the poll thread.
///
/// Completing a call from another thread costs a wake through the C core each time;
/// here everybody pushes, and one [`Outbox::flush`] per turn wakes the pump, which
/// does it all on the poll thread. The queue is unbounded in itself: it holds at
/// most one entry per queued call or watch, and those have limits.
#[derive(Clone)]
pub struct Outbox {
    work: Sender<Work>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    pump: AtomicWaker,
    closed: AtomicBool,
    /// Bytes of large answers that clients have not taken.
    pending_bytes: Arc<AtomicUsize>,
}

enum Work {
    /// Completes a call. What it returns must be kept until it resolves: dropping it
    /// cancels the call.
    Finish(Box<dyn FnOnce() -> UnarySinkResult + Send>, Option<Held>),
    /// Polls a watch stream that has something to send.
    Wake(Waker),
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
    work: Receiver<Work>,
    finishing: FuturesUnordered<Finishing>,
    shared: Arc<Shared>,
}

struct Finishing {
    result: UnarySinkResult,
    _held: Option<Held>,
}

pub fn outbox() -> (Outbox, Pump) {
    let (work, receiver) = unbounded();
    let shared = Arc::new(Shared::default());
    let pump = Pump { work: receiver, finishing: FuturesUnordered::new(), shared: shared.clone() };
    (Outbox { work, shared }, pump)
}

impl Outbox {
    /// Completes the call with what `response` makes, on the poll thread.
    pub fn finish<T: 'static>(
        &self,
        sink: UnarySink<T>,
        response: impl FnOnce() -> Result<T, RpcStatus> + Send + 'static,
    ) {
        self.push(Work::Finish(complete(sink, response), None));
    }

    /// Completes the call with a large answer, whose bytes count as pending until the
    /// client has taken them or is gone.
    pub fn finish_large<T: Send + 'static>(&self, sink: UnarySink<T>, bytes: usize, answer: T) {
        let total = self.shared.pending_bytes.clone();
        total.fetch_add(bytes, Ordering::Relaxed);
        let held = Held { bytes, total };
        self.push(Work::Finish(complete(sink, move || Ok(answer)), Some(held)));
    }

    /// Bytes of large answers that clients have not taken.
    pub fn pending_bytes(&self) -> usize {
        self.shared.pending_bytes.load(Ordering::Relaxed)
    }

    /// Wakes the pump: once for all that was pushed before.
    pub fn flush(&self) {
        self.shared.pump.wake();
    }

    /// Ends the pump. Calls that are not complete by then are cancelled.
    pub fn close(&self) {
        self.shared.closed.store(true, Ordering::Release);
        self.flush();
    }

    fn push(&self, work: Work) {
        // Fails only when the pump has ended, and with it every call.
        let _ = self.work.send(work);
    }
}

fn complete<T: 'static>(
    sink: UnarySink<T>,
    response: impl FnOnce() -> Result<T, RpcStatus> + Send + 'static,
) -> Box<dyn FnOnce() -> UnarySinkResult + Send> {
    Box::new(move || match response() {
        Ok(response) => sink.success(response),
        Err(status) => sink.fail(status),
    })
}

impl Future for Pump {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Registered before looking, so that what is pushed meanwhile wakes us again.
        self.shared.pump.register(cx.waker());
        if self.shared.closed.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        while let Ok(work) = self.work.try_recv() {
            match work {
                Work::Finish(finish, held) => {
                    self.finishing.push(Finishing { result: finish(), _held: held });
                }
                Work::Wake(stream) => stream.wake(),
            }
        }
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

/// Wakes one watch stream, through the outbox: the pump wakes it on the poll thread.
#[derive(Clone)]
pub struct Signal {
    stream: Arc<AtomicWaker>,
    outbox: Outbox,
}

impl Signal {
    pub fn new(outbox: Outbox) -> Signal {
        Signal { stream: Arc::default(), outbox }
    }

    /// Takes effect with the next [`Outbox::flush`].
    pub fn raise(&self) {
        if let Some(waker) = self.stream.take() {
            self.outbox.push(Work::Wake(waker));
        }
    }

    /// Whom to wake. Register before looking for what the signal announces.
    pub fn register(&self, stream: &Waker) {
        self.stream.register(stream);
    }
}
