use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use futures_util::{Sink, SinkExt, future::poll_fn};
use grpcio::{Deadline, WriteFlags};

use super::feed::{Feed, Sending, Step};
use super::transport::{Signal, StreamSink, TimeSlice};
use crate::model::Rejection;
use crate::rpc::{self, Burst};
use crate::state::{
    Answer, Command, Notify, Reply, StateHandle, Subscription, WatchFrom, WatchStart,
};

type Subscribed = Result<Subscription<Arc<Burst>>, Rejection>;

/// Where the state thread's answer to a watch goes.
struct SubscribeAnswer {
    to: Sender<Subscribed>,
    signal: Signal,
    deadline: Deadline,
}

impl Answer<Subscription<Arc<Burst>>> for SubscribeAnswer {
    fn expired(&self) -> bool {
        self.deadline.exceeded()
    }

    fn give(self: Box<Self>, answer: Subscribed) {
        // Fails only when the stream's client is gone.
        let _ = self.to.send(answer);
        self.signal.notify();
    }
}

/// Serves one `WatchTasks` call: run it on the poll thread.
pub async fn serve(
    state: StateHandle<Arc<Burst>>,
    mut start: WatchStart,
    how: Sending,
    deadline: Deadline,
    mut sink: StreamSink,
) {
    loop {
        let answer = subscribe(&state, &start, &how.signal, deadline);
        let subscribed = poll_fn(|cx| poll_answer(&answer, &mut sink, &how.signal, cx)).await;
        let mut feed = match subscribed {
            Some(Ok(subscription)) => Box::new(Feed::new(subscription, how.clone())),
            Some(Err(why)) => {
                // A client that is gone takes no status, either.
                let _ = sink.fail(rpc::status(&why)).await;
                return;
            }
            None => return,
        };
        match send_all(&mut feed, &mut sink, &how.signal).await {
            // Compaction was faster. One call always recovers, so this one starts again.
            Some(Rejection::HistoryGone { .. })
                if start.from.or_snapshot() && feed.owes_synced() =>
            {
                start.from = WatchFrom::Snapshot;
            }
            Some(why) => return end(sink, feed.into_subscription(), &why, &how.signal).await,
            None => return,
        }
    }
}

fn subscribe(
    state: &StateHandle<Arc<Burst>>,
    start: &WatchStart,
    signal: &Signal,
    deadline: Deadline,
) -> Receiver<Subscribed> {
    let (to, answer) = bounded(1);
    let signal_of_stream = signal.clone();
    let notify: Notify = Box::new(move || signal_of_stream.notify());
    let reply = Reply::new(SubscribeAnswer { to, signal: signal.clone(), deadline });
    // If it is answered at once, the first look finds the answer.
    let _ = state.submit(Command::Watch { start: start.clone(), notify, reply });
    answer
}

/// Sends what the feed has, until it ends; `None`: the client is gone.
async fn send_all(feed: &mut Feed, sink: &mut StreamSink, signal: &Signal) -> Option<Rejection> {
    let mut pace = Pace::default();
    loop {
        match poll_fn(|cx| poll_step(feed, sink, &mut pace, signal, cx)).await? {
            Step::Send(frame, more) => {
                let flags = WriteFlags::default().buffer_hint(more);
                sink.feed((frame, flags)).await.ok()?;
            }
            Step::End(why) => return Some(why),
        }
    }
}

/// The status waits behind what the client does not take. One that takes neither for long
/// is cut off like any other, and a little later dropping the future cancels the call.
async fn end(
    sink: StreamSink,
    subscription: Subscription<Arc<Burst>>,
    why: &Rejection,
    signal: &Signal,
) {
    subscription.client_reads(false);
    let mut ending = pin!(sink.fail(rpc::status(why)));
    poll_fn(|cx| {
        signal.register(cx.waker());
        drop(signal.take_slice());
        let cancel_at = subscription.cut_off().map(|cut_off| cut_off.cancel_at);
        match ending.as_mut().poll(cx) {
            Poll::Pending if cancel_at.is_none_or(|at| Instant::now() < at) => Poll::Pending,
            Poll::Pending | Poll::Ready(_) => Poll::Ready(()),
        }
    })
    .await;
}

/// When the stream may send.
#[derive(Default)]
struct Pace {
    slice: Option<TimeSlice>,
    /// Whether a message of this turn is on its way.
    is_sending: bool,
}

/// What the state thread answers; `None` if the client is gone before.
fn poll_answer(
    answer: &Receiver<Subscribed>,
    sink: &mut StreamSink,
    signal: &Signal,
    cx: &mut Context<'_>,
) -> Poll<Option<Subscribed>> {
    signal.register(cx.waker());
    // A sink notices that its client is gone only while it is polled.
    if let Poll::Ready(Err(_)) = Pin::new(sink).poll_flush(cx) {
        return Poll::Ready(None);
    }
    match answer.try_recv() {
        Ok(subscribed) => Poll::Ready(Some(subscribed)),
        Err(TryRecvError::Disconnected) => Poll::Ready(Some(Err(Rejection::ShuttingDown))),
        Err(TryRecvError::Empty) => {
            drop(signal.take_slice());
            Poll::Pending
        }
    }
}

/// What to do next; `None`: the client is gone.
fn poll_step(
    feed: &mut Feed,
    sink: &mut StreamSink,
    pace: &mut Pace,
    signal: &Signal,
    cx: &mut Context<'_>,
) -> Poll<Option<Step>> {
    // Registered before looking, so that what comes meanwhile wakes us again.
    signal.register(cx.waker());
    if let Some(slice) = signal.take_slice() {
        *pace = Pace { slice: Some(slice), is_sending: false };
    }
    // Before the sink, which a client that does not read holds up for ever.
    if let Some(cut_off) = feed.subscription.cut_off() {
        return Poll::Ready(Some(Step::End(cut_off.why)));
    }
    let flushed = Pin::new(sink).poll_flush(cx);
    feed.subscription.client_reads(flushed.is_ready());
    match flushed {
        Poll::Pending => {
            if !pace.is_sending {
                pace.slice = None;
            }
            return Poll::Pending;
        }
        Poll::Ready(Err(_)) => return Poll::Ready(None),
        Poll::Ready(Ok(())) => {}
    }
    ready!(pace.poll_slice(signal));
    pace.paced(feed.poll_next()).map(Some)
}

impl Pace {
    /// Ready while there is a turn with something left.
    fn poll_slice(&mut self, signal: &Signal) -> Poll<()> {
        match &self.slice {
            Some(slice) if slice.messages > 0 => Poll::Ready(()),
            // In the queue again before the turn ends: whoever looks after that finds it.
            Some(_) => {
                signal.notify();
                self.slice = None;
                Poll::Pending
            }
            None => {
                signal.notify_now();
                Poll::Pending
            }
        }
    }

    /// Counts the step. Only what has its turn at once, too, may hold back a message: the
    /// transport gathers up to 64 KiB before it sends what is to be followed.
    fn paced(&mut self, step: Poll<Step>) -> Poll<Step> {
        match (step, &mut self.slice) {
            (Poll::Ready(Step::Send(frame, more)), Some(slice)) => {
                slice.messages -= 1;
                self.is_sending = true;
                Poll::Ready(Step::Send(frame, more && slice.messages > 0))
            }
            (step, _) => {
                self.slice = None;
                step
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::task::{AtomicWaker, noop_waker};

    use super::*;
    use crate::rpc::Encoded;
    use crate::server::transport::{Requests, RunQueue};

    #[test]
    fn the_last_message_of_a_turn_is_never_held_back() {
        let (run_queue, mut scheduler, _pacer) =
            RunQueue::start(Arc::new(AtomicWaker::new()), Requests::default()).unwrap();
        let signals: Vec<_> = (0..100).map(|_| Signal::new(run_queue.clone())).collect();
        for signal in &signals {
            signal.register(&noop_waker());
            signal.notify();
        }
        scheduler.start_round();
        let mut pace = Pace { slice: signals[0].take_slice(), is_sending: false };
        let mut held_back = Vec::new();
        while pace.poll_slice(&signals[0]).is_ready() {
            let message = Step::Send(Encoded::new(&rpc::reset()), true);
            match pace.paced(Poll::Ready(message)) {
                Poll::Ready(Step::Send(_, more)) => held_back.push(more),
                _ => panic!("a message is a message"),
            }
        }
        assert_eq!(held_back, [true, true, true, false], "256 messages for 64 streams");
    }
}
