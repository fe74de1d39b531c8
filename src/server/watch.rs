use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use futures_util::task::AtomicWaker;
use futures_util::{Sink, SinkExt, future::poll_fn};
use grpcio::{ServerStreamingSink, WriteFlags};

use super::outbox::Outbox;
use crate::model::{Filter, Rejection, TaskId, TaskList};
use crate::rpc::{self, Encoded};
use crate::state::{Answer, Command, Next, Notify, Reply, StateHandle, Subscription, WatchStart};

/// Wakes one stream, through the outbox: the pump wakes it on the poll thread.
#[derive(Clone)]
struct Signal {
    stream: Arc<AtomicWaker>,
    outbox: Outbox,
}

impl Signal {
    fn raise(&self) {
        if let Some(waker) = self.stream.take() {
            self.outbox.wake(waker);
        }
    }
}

/// Where the state thread's answer to a watch goes.
struct Subscribed {
    to: Sender<Result<Subscription<Encoded>, Rejection>>,
    signal: Signal,
}

impl Answer<Subscription<Encoded>> for Subscribed {
    fn give(self: Box<Self>, answer: Result<Subscription<Encoded>, Rejection>) {
        // Fails only when the stream's client is gone.
        let _ = self.to.send(answer);
        self.signal.raise();
    }
}

/// Serves one `WatchTasks` call: run it on the poll thread.
pub async fn serve(
    state: StateHandle<Encoded>,
    outbox: Outbox,
    start: WatchStart,
    mut sink: ServerStreamingSink<Encoded>,
) {
    let signal = Signal { stream: Arc::default(), outbox };
    let (to, answer) = bounded(1);
    let raise = signal.clone();
    let notify: Notify = Box::new(move || raise.raise());
    let reply = Reply::new(Subscribed { to, signal: signal.clone() });
    // If it is answered at once, the first look below finds the answer.
    let _ = state.submit(Command::Watch { start, notify, reply });

    let mut source = Source::Asked(answer);
    loop {
        let step = poll_fn(|cx| poll_step(&mut source, &mut sink, &signal, cx)).await;
        let sent = match step {
            Step::Send(frame, more) => {
                let flags = WriteFlags::default().buffer_hint(more);
                sink.feed((frame, flags)).await.is_ok()
            }
            Step::End(why) => {
                // A client that is gone takes no status, either.
                let _ = sink.fail(rpc::status(&why)).await;
                return;
            }
            Step::Gone => false,
        };
        if !sent {
            return;
        }
    }
}

enum Step {
    /// Send the frame; `true` if another one follows at once.
    Send(Encoded, bool),
    End(Rejection),
    /// The client is gone.
    Gone,
}

/// Where a stream takes its frames from.
enum Source {
    /// The state thread has not answered yet.
    Asked(Receiver<Result<Subscription<Encoded>, Rejection>>),
    Feed(Feed),
}

fn poll_step(
    source: &mut Source,
    sink: &mut ServerStreamingSink<Encoded>,
    signal: &Signal,
    cx: &mut Context<'_>,
) -> Poll<Step> {
    // Registered before looking, so that what comes meanwhile wakes us again.
    signal.stream.register(cx.waker());
    // A sink notices that its client is gone only while it is polled.
    if ready!(Pin::new(sink).poll_flush(cx)).is_err() {
        return Poll::Ready(Step::Gone);
    }
    if let Source::Asked(answer) = source {
        match answer.try_recv() {
            Ok(Ok(subscription)) => *source = Source::Feed(Feed::new(subscription)),
            Ok(Err(why)) => return Poll::Ready(Step::End(why)),
            Err(TryRecvError::Empty) => return Poll::Pending,
            Err(TryRecvError::Disconnected) => {
                return Poll::Ready(Step::End(Rejection::ShuttingDown));
            }
        }
    }
    match source {
        Source::Asked(_) => Poll::Pending,
        Source::Feed(feed) => feed.poll_next(),
    }
}

/// What one watcher is sent: the snapshot, if it asked for one, then its updates.
struct Feed {
    subscription: Subscription<Encoded>,
    snapshot: Option<Snapshot>,
}

/// A snapshot on its way out: tasks are encoded one by one, as the client takes them.
struct Snapshot {
    list: TaskList,
    filter: Filter,
    /// The last task sent; `None` before the RESET.
    last: Option<TaskId>,
}

impl Feed {
    fn new(mut subscription: Subscription<Encoded>) -> Feed {
        let filter = subscription.start.filter;
        let snapshot =
            subscription.take_snapshot().map(|list| Snapshot { list, filter, last: None });
        Feed { subscription, snapshot }
    }

    fn poll_next(&mut self) -> Poll<Step> {
        if let Some(snapshot) = &mut self.snapshot {
            let Some(frame) = snapshot.next() else {
                let synced = Encoded::new(&rpc::synced(&snapshot.list));
                self.snapshot = None;
                return Poll::Ready(Step::Send(synced, self.subscription.has_more()));
            };
            return Poll::Ready(Step::Send(frame, true));
        }
        match self.subscription.next() {
            Next::Update(frame) => Poll::Ready(Step::Send(frame, self.subscription.has_more())),
            Next::Nothing => Poll::Pending,
            Next::End(why) => Poll::Ready(Step::End(why)),
        }
    }
}

impl Snapshot {
    fn next(&mut self) -> Option<Encoded> {
        let Some(last) = self.last else {
            self.last = Some(0);
            return Some(Encoded::new(&rpc::reset()));
        };
        let task = self.list.after(last).find(|task| self.filter.shows(task))?;
        self.last = Some(task.id);
        Some(Encoded::new(&rpc::snapshot_update(task)))
    }
}
