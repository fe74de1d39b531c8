use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use futures_util::{Sink, SinkExt, future::poll_fn};
use grpcio::{Deadline, ServerStreamingSink, WriteFlags};

use super::feed::{self, Feed, Sending};
use super::wakes::{Signal, Turn};
use crate::model::Rejection;
use crate::rpc::{self, Burst, Encoded};
use crate::state::{Answer, Command, CutOff, Notify, Reply, StateHandle, Subscription, WatchStart};

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
        self.signal.raise();
    }
}

/// Serves one `WatchTasks` call: run it on the poll thread.
pub async fn serve(
    state: StateHandle<Arc<Burst>>,
    start: WatchStart,
    how: Sending,
    deadline: Deadline,
    mut sink: ServerStreamingSink<Encoded>,
) {
    let signal = how.signal.clone();
    let (to, answer) = bounded(1);
    let raise = signal.clone();
    let notify: Notify = Box::new(move || raise.raise());
    let reply = Reply::new(SubscribeAnswer { to, signal: signal.clone(), deadline });
    // If it is answered at once, the first look below finds the answer.
    let _ = state.submit(Command::Watch { start, notify, reply });

    let mut feed = match poll_fn(|cx| poll_answer(&answer, &mut sink, &signal, cx)).await {
        Some(Ok(subscription)) => Box::new(Feed::new(subscription, how)),
        Some(Err(why)) => return end(sink, &why).await,
        None => return,
    };
    let mut pace = Pace::default();
    loop {
        match poll_fn(|cx| poll_step(&mut feed, &mut sink, &mut pace, &signal, cx)).await {
            Step::Send(frame, more) => {
                let flags = WriteFlags::default().buffer_hint(more);
                if sink.feed((frame, flags)).await.is_err() {
                    return;
                }
            }
            Step::End(why) => return end(sink, &why).await,
            Step::CutOff(cut_off) => {
                drop(feed);
                return end_or_cancel(sink, cut_off, &signal).await;
            }
            Step::Gone => return,
        }
    }
}

async fn end(sink: ServerStreamingSink<Encoded>, why: &Rejection) {
    // A client that is gone takes no status, either.
    let _ = sink.fail(rpc::status(why)).await;
}

/// The status waits behind what the client does not read. If it is not taken in time,
/// dropping its future cancels the call.
async fn end_or_cancel(sink: ServerStreamingSink<Encoded>, cut_off: CutOff, signal: &Signal) {
    let mut ending = pin!(sink.fail(rpc::status(&cut_off.why)));
    poll_fn(|cx| {
        signal.register(cx.waker());
        drop(signal.take_turn());
        match ending.as_mut().poll(cx) {
            Poll::Pending if Instant::now() < cut_off.cancel_at => Poll::Pending,
            Poll::Pending | Poll::Ready(_) => Poll::Ready(()),
        }
    })
    .await;
}

enum Step {
    /// Send the frame; `true` if another one follows at once.
    Send(Encoded, bool),
    End(Rejection),
    /// The client did not read: end, and if it does not even take that, cancel.
    CutOff(CutOff),
    /// The client is gone.
    Gone,
}

/// When the stream may send.
#[derive(Default)]
struct Pace {
    turn: Option<Turn>,
    /// Whether a message of this turn is on its way.
    is_sending: bool,
}

/// What the state thread answers; `None` if the client is gone before.
fn poll_answer(
    answer: &Receiver<Subscribed>,
    sink: &mut ServerStreamingSink<Encoded>,
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
            drop(signal.take_turn());
            Poll::Pending
        }
    }
}

fn poll_step(
    feed: &mut Feed,
    sink: &mut ServerStreamingSink<Encoded>,
    pace: &mut Pace,
    signal: &Signal,
    cx: &mut Context<'_>,
) -> Poll<Step> {
    // Registered before looking, so that what comes meanwhile wakes us again.
    signal.register(cx.waker());
    if let Some(turn) = signal.take_turn() {
        *pace = Pace { turn: Some(turn), is_sending: false };
    }
    // Before the sink, which a client that does not read holds up for ever.
    if let Some(cut_off) = feed.subscription.cut_off() {
        return Poll::Ready(Step::CutOff(cut_off));
    }
    let flushed = Pin::new(sink).poll_flush(cx);
    feed.subscription.client_reads(flushed.is_ready());
    match flushed {
        Poll::Pending => {
            if !pace.is_sending {
                pace.turn = None;
            }
            return Poll::Pending;
        }
        Poll::Ready(Err(_)) => return Poll::Ready(Step::Gone),
        Poll::Ready(Ok(())) => {}
    }
    ready!(pace.poll_turn(signal));
    let step = feed.poll_next().map(|step| match step {
        feed::Step::Send(frame, more) => Step::Send(frame, more),
        feed::Step::End(why) => Step::End(why),
    });
    pace.took(&step);
    step
}

impl Pace {
    /// Ready while there is a turn with something left.
    fn poll_turn(&mut self, signal: &Signal) -> Poll<()> {
        match &self.turn {
            Some(turn) if turn.messages > 0 => Poll::Ready(()),
            // In the queue again before the turn ends: whoever looks after that finds it.
            Some(_) => {
                signal.raise();
                self.turn = None;
                Poll::Pending
            }
            None => {
                signal.raise_at_once();
                Poll::Pending
            }
        }
    }

    fn took(&mut self, step: &Poll<Step>) {
        match (step, &mut self.turn) {
            (Poll::Ready(Step::Send(..)), Some(turn)) => {
                turn.messages -= 1;
                self.is_sending = true;
            }
            (Poll::Ready(_) | Poll::Pending, _) => self.turn = None,
        }
    }
}
