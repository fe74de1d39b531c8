use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use futures_util::{Sink, SinkExt, future::poll_fn};
use grpcio::{Deadline, WriteFlags};

use super::codec::{CallError, status};
use super::feed::{Feed, Step, StreamContext};
use super::transport::{Signal, StreamSink, TimeSlice};
use crate::state::{
    Command, Notify, Reply, ReplyTo, StateError, StateHandle, Subscription, Watch, WatchFrom,
    WatchStart,
};

type Subscribed = Result<Subscription, StateError>;

/// Where the state thread's reply to a watch goes.
struct SubscribeReply {
    to: Sender<Subscribed>,
    signal: Signal,
    deadline: Deadline,
}

impl ReplyTo<Subscription> for SubscribeReply {
    fn expired(&self) -> bool {
        self.deadline.exceeded()
    }

    fn give(self: Box<Self>, reply: Subscribed) {
        // Fails only when the stream's client is gone.
        let _ = self.to.send(reply);
        self.signal.notify();
    }
}

/// Serves one `WatchTasks` call: run it on the poll thread.
pub(crate) async fn serve(
    state: StateHandle,
    mut start: WatchStart,
    context: StreamContext,
    deadline: Deadline,
    mut sink: StreamSink,
) {
    loop {
        let signal = &context.signal;
        let reply = subscribe(&state, &start, signal, deadline);
        let subscribed = poll_fn(|cx| poll_reply(&reply, &mut sink, signal, cx)).await;
        let owes_synced = start.from != WatchFrom::Now;
        let mut feed = match subscribed {
            Some(Ok(subscription)) => {
                Box::new(Feed::new(subscription, context.clone(), owes_synced))
            }
            Some(Err(why)) => {
                // A client that is gone takes no status, either.
                let _ = sink.fail(status(&why.into())).await;
                return;
            }
            None => return,
        };
        match send_all(&mut feed, &mut sink, signal).await {
            // Compaction was faster. One call always recovers, so this one starts again.
            Some(CallError::State(StateError::HistoryCompacted { .. }))
                if start.from.or_snapshot() && feed.owes_synced() =>
            {
                start.from = WatchFrom::Snapshot;
            }
            Some(why) => return end(sink, feed.into_subscription(), &why, signal).await,
            None => return,
        }
    }
}

fn subscribe(
    state: &StateHandle,
    start: &WatchStart,
    signal: &Signal,
    deadline: Deadline,
) -> Receiver<Subscribed> {
    let (to, reply) = bounded(1);
    let signal_of_stream = signal.clone();
    let notify: Notify = Box::new(move || signal_of_stream.notify());
    let reply_to = Reply::new(SubscribeReply { to, signal: signal.clone(), deadline });
    // If it is refused immediately, the first look finds the reply.
    let watch = Watch { start: start.clone(), notify, reply: reply_to };
    let _ = state.submit(Command::Watch(watch));
    reply
}

/// Sends what the feed has, until it ends; `None`: the client is gone.
async fn send_all(feed: &mut Feed, sink: &mut StreamSink, signal: &Signal) -> Option<CallError> {
    let mut pace = Pace::default();
    loop {
        match poll_fn(|cx| poll_step(feed, sink, &mut pace, signal, cx)).await? {
            Step::Send(message, more) => {
                let flags = WriteFlags::default().buffer_hint(more);
                sink.feed((message, flags)).await.ok()?;
            }
            Step::End(why) => return Some(why),
        }
    }
}

/// The status waits behind what the client does not take. A client that takes neither is
/// cut off like any other, and a little later dropping the future cancels the call.
async fn end(sink: StreamSink, subscription: Subscription, why: &CallError, signal: &Signal) {
    subscription.set_blocked(true);
    let mut ending = pin!(sink.fail(status(why)));
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
    /// Whether a message of this slice is being sent.
    is_sending: bool,
}

/// The state thread's reply; `None` if the client is gone before.
fn poll_reply(
    reply: &Receiver<Subscribed>,
    sink: &mut StreamSink,
    signal: &Signal,
    cx: &mut Context<'_>,
) -> Poll<Option<Subscribed>> {
    signal.register(cx.waker());
    // A sink notices that its client is gone only while it is polled.
    if let Poll::Ready(Err(_)) = Pin::new(sink).poll_flush(cx) {
        return Poll::Ready(None);
    }
    match reply.try_recv() {
        Ok(subscribed) => Poll::Ready(Some(subscribed)),
        Err(TryRecvError::Disconnected) => Poll::Ready(Some(Err(StateError::ShuttingDown))),
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
    // Registered before looking: what comes later wakes the stream again.
    signal.register(cx.waker());
    if let Some(slice) = signal.take_slice() {
        *pace = Pace { slice: Some(slice), is_sending: false };
    }
    // Before the sink, which stays pending while the client does not read.
    if let Some(cut_off) = feed.subscription.cut_off() {
        return Poll::Ready(Some(Step::End(cut_off.why.into())));
    }
    let flushed = Pin::new(sink).poll_flush(cx);
    feed.subscription.set_blocked(flushed.is_pending());
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
    /// Ready while the stream has a slice with messages left.
    fn poll_slice(&mut self, signal: &Signal) -> Poll<()> {
        match &self.slice {
            Some(slice) if slice.messages > 0 => Poll::Ready(()),
            // In the queue again before the slice ends: the next round finds it.
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

    /// Counts the step. Only a message that is followed in the same slice may be held back:
    /// the transport gathers up to 64 KiB of such messages before it sends them.
    fn paced(&mut self, step: Poll<Step>) -> Poll<Step> {
        match (step, &mut self.slice) {
            (Poll::Ready(Step::Send(message, more)), Some(slice)) => {
                slice.messages -= 1;
                self.is_sending = true;
                Poll::Ready(Step::Send(message, more && slice.messages > 0))
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
    use std::sync::Arc;

    use futures_util::task::{AtomicWaker, noop_waker};

    use super::*;
    use crate::server::codec::reset;
    use crate::server::transport::{Requests, RunQueue};
    use crate::wire::Encoded;

    #[test]
    fn the_last_message_of_a_slice_is_never_held_back() {
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
            let message = Step::Send(Encoded::new(&reset()), true);
            match pace.paced(Poll::Ready(message)) {
                Poll::Ready(Step::Send(_, more)) => held_back.push(more),
                _ => panic!("a message is a message"),
            }
        }
        assert_eq!(held_back, [true, true, true, false], "256 messages for 64 streams");
    }
}
