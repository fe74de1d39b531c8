use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
/// most one entry per open call or watch, and those have limits.
#[derive(Clone)]
pub struct Outbox {
    work: Sender<Work>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    pump: AtomicWaker,
    closed: AtomicBool,
}

enum Work {
    /// Completes a call. What it returns must be kept until it resolves: dropping it
    /// cancels the call.
    Finish(Box<dyn FnOnce() -> UnarySinkResult + Send>),
    /// Polls a watch stream that has something to send.
    Wake(Waker),
}

/// The future that does the work, for the life of the server.
pub struct Pump {
    work: Receiver<Work>,
    finishing: FuturesUnordered<UnarySinkResult>,
    shared: Arc<Shared>,
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
        self.push(Work::Finish(Box::new(move || match response() {
            Ok(response) => sink.success(response),
            Err(status) => sink.fail(status),
        })));
    }

    pub fn wake(&self, stream: Waker) {
        self.push(Work::Wake(stream));
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
                Work::Finish(finish) => self.finishing.push(finish()),
                Work::Wake(stream) => stream.wake(),
            }
        }
        // Whether a client still took its answer is the client's affair.
        while let Poll::Ready(Some(_)) = Pin::new(&mut self.finishing).poll_next(cx) {}
        Poll::Pending
    }
}
