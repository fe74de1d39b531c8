use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use futures_util::{Sink, SinkExt, future::poll_fn};
use grpcio::{Deadline, ServerStreamingSink, WriteFlags};

use super::outbox::{Outbox, Signal};
use super::reader::Reader;
use super::snapshot::Snapshot;
use crate::model::Rejection;
use crate::rpc::{self, Encoded};
use crate::state::{
    Answer, Command, CutOff, Next, Notify, Reply, StateHandle, Subscription, WatchStart,
};

/// Where the state thread's answer to a watch goes.
struct Subscribed {
    to: Sender<Result<Subscription<Encoded>, Rejection>>,
    signal: Signal,
    deadline: Deadline,
}

impl Answer<Subscription<Encoded>> for Subscribed {
    fn expired(&self) -> bool {
        self.deadline.exceeded()
    }

    fn give(self: Box<Self>, answer: Result<Subscription<Encoded>, Rejection>) {
        // Fails only when the stream's client is gone.
        let _ = self.to.send(answer);
        self.signal.raise();
    }
}

/// Serves one `WatchTasks` call: run it on the poll thread.
pub async fn serve(
    state: StateHandle<Encoded>,
    reader: Reader,
    outbox: Outbox,
    start: WatchStart,
    deadline: Deadline,
    mut sink: ServerStreamingSink<Encoded>,
) {
    let signal = Signal::new(outbox);
    let (to, answer) = bounded(1);
    let raise = signal.clone();
    let notify: Notify = Box::new(move || raise.raise());
    let reply = Reply::new(Subscribed { to, signal: signal.clone(), deadline });
    // If it is answered at once, the first look below finds the answer.
    let _ = state.submit(Command::Watch { start, notify, reply });

    let mut source = Source::Asked(answer, reader);
    loop {
        match poll_fn(|cx| poll_step(&mut source, &mut sink, &signal, cx)).await {
            Step::Send(frame, more) => {
                let flags = WriteFlags::default().buffer_hint(more);
                if sink.feed((frame, flags)).await.is_err() {
                    return;
                }
            }
            Step::End(why) => {
                // A client that is gone takes no status, either.
                let _ = sink.fail(rpc::status(&why)).await;
                return;
            }
            Step::CutOff(cut_off) => {
                drop(source);
                return end_or_cancel(sink, cut_off, &signal).await;
            }
            Step::Gone => return,
        }
    }
}

/// The status waits behind what the client does not read. If it is not taken in time,
/// dropping its future cancels the call.
async fn end_or_cancel(sink: ServerStreamingSink<Encoded>, cut_off: CutOff, signal: &Signal) {
    let mut ending = pin!(sink.fail(rpc::status(&cut_off.why)));
    poll_fn(|cx| {
        signal.register(cx.waker());
        match ending.as_mut().poll(cx) {
            Poll::Pending if Instant::now() < cut_off.cancel_at => Poll::Pending,
            Poll::Pending | Poll::Ready(_) => Poll::Ready(()),
        }
    })
    .await;
}

pub enum Step {
    /// Send the frame; `true` if another one follows at once.
    Send(Encoded, bool),
    End(Rejection),
    /// The client did not read: end, and if it does not even take that, cancel.
    CutOff(CutOff),
    /// The client is gone.
    Gone,
}

/// Where a stream takes its frames from.
enum Source {
    /// The state thread has not answered yet.
    Asked(Receiver<Result<Subscription<Encoded>, Rejection>>, Reader),
    Feed(Box<Feed>),
}

fn poll_step(
    source: &mut Source,
    sink: &mut ServerStreamingSink<Encoded>,
    signal: &Signal,
    cx: &mut Context<'_>,
) -> Poll<Step> {
    // Registered before looking, so that what comes meanwhile wakes us again.
    signal.register(cx.waker());
    // Before the sink, which a client that does not read holds up for ever.
    if let Source::Feed(feed) = source
        && let Some(cut_off) = feed.subscription.cut_off()
    {
        return Poll::Ready(Step::CutOff(cut_off));
    }
    // A sink notices that its client is gone only while it is polled.
    if ready!(Pin::new(sink).poll_flush(cx)).is_err() {
        return Poll::Ready(Step::Gone);
    }
    if let Source::Asked(answer, reader) = source {
        match answer.try_recv() {
            Ok(Ok(subscription)) => {
                let feed = Feed::new(subscription, reader, signal);
                *source = Source::Feed(Box::new(feed));
            }
            Ok(Err(why)) => return Poll::Ready(Step::End(why)),
            Err(TryRecvError::Empty) => return Poll::Pending,
            Err(TryRecvError::Disconnected) => {
                return Poll::Ready(Step::End(Rejection::ShuttingDown));
            }
        }
    }
    match source {
        Source::Asked(..) => Poll::Pending,
        Source::Feed(feed) => feed.poll_next(),
    }
}

/// What one watcher is sent: the snapshot, if it asked for one, then its updates.
struct Feed {
    subscription: Subscription<Encoded>,
    snapshot: Option<Snapshot>,
}

impl Feed {
    fn new(mut subscription: Subscription<Encoded>, reader: &Reader, signal: &Signal) -> Feed {
        let filter = subscription.start.filter;
        let snapshot = subscription
            .take_snapshot()
            .map(|list| Snapshot::new(list, filter, reader.clone(), signal.clone()));
        Feed { subscription, snapshot }
    }

    fn poll_next(&mut self) -> Poll<Step> {
        if let Some(snapshot) = &mut self.snapshot {
            return Poll::Ready(match ready!(snapshot.poll_next()) {
                Some(Ok(frame)) => Step::Send(frame, true),
                Some(Err(why)) => Step::End(why),
                None => {
                    let synced = snapshot.synced();
                    // With it goes the old version of the list.
                    self.snapshot = None;
                    Step::Send(synced, self.subscription.has_more())
                }
            });
        }
        match self.subscription.next() {
            Next::Update(frame) => Poll::Ready(Step::Send(frame, self.subscription.has_more())),
            Next::Nothing => Poll::Pending,
            Next::End(why) => Poll::Ready(Step::End(why)),
        }
    }
}
