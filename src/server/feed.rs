use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use super::codec::{CallError, Packing, UpdateBatch, progress, reset, synced};
use super::history::{self, HistoryChunk};
use super::reader::{PendingRead, Readers};
use super::snapshot::Snapshot;
use super::transport::Signal;
use crate::model::Revision;
use crate::state::{ChangeLog, Next, Start, Subscription};
use crate::wire::Encoded;
use crate::wire::proto::TaskUpdate;

/// What one stream sends: its snapshot, if it starts with one, then what follows its
/// position in the change log; older changes come from the store.
pub(crate) struct Feed {
    pub(crate) subscription: Subscription,
    source: Source,
    /// What is being sent.
    out: Out,
    /// Everything up to this revision was sent, or is in `out`.
    position: Revision,
    /// The last revision that the client received: its own position.
    client_at: Revision,
    /// A SYNCED is due once `position` has reached the head at registration.
    owes_synced: bool,
    progress: Option<Progress>,
    context: StreamContext,
}

/// What stays the same for a stream.
#[derive(Clone)]
pub(crate) struct StreamContext {
    pub(crate) packing: Packing,
    /// Report progress after this long without an update.
    pub(crate) progress: Option<Duration>,
    pub(crate) log: Arc<ChangeLog<UpdateBatch>>,
    pub(crate) readers: Readers,
    pub(crate) signal: Signal,
}

enum Source {
    Snapshot(Snapshot),
    Log,
    /// The change log no longer has the position.
    Store(PendingRead<HistoryChunk>),
}

enum Out {
    Nothing,
    Mark(Encoded),
    /// The messages of the batch from this one on.
    Batch(Arc<UpdateBatch>, usize),
}

/// Progress through history that does not concern the filter. Of a stream that has caught
/// up, the state thread requests progress.
struct Progress {
    interval: Duration,
    last_sent: Instant,
}

/// What to do next.
pub(crate) enum Step {
    /// Send the message; `true` if another one follows immediately.
    Send(Encoded, bool),
    End(CallError),
}

impl Feed {
    pub(crate) fn new(
        subscription: Subscription,
        context: StreamContext,
        owes_synced: bool,
    ) -> Feed {
        let (source, position, out) = match &subscription.start {
            Start::After(revision) => (Source::Log, *revision, Out::Nothing),
            Start::Snapshot(published) => {
                let (readers, signal) = (context.readers.clone(), context.signal.clone());
                let filter = subscription.filter.clone();
                let snapshot = Snapshot::new(published.clone(), filter, readers, signal);
                let revision = published.list.revision();
                (Source::Snapshot(snapshot), revision, Out::Mark(Encoded::new(&reset())))
            }
        };
        let progress =
            context.progress.map(|interval| Progress { interval, last_sent: Instant::now() });
        let client_at = position;
        Feed { subscription, source, out, position, client_at, owes_synced, progress, context }
    }

    /// Whether the stream has yet to report that it has caught up.
    pub(crate) fn owes_synced(&self) -> bool {
        self.owes_synced
    }

    /// Releases everything else: what was read, and the version of the list.
    pub(crate) fn into_subscription(self) -> Subscription {
        self.subscription
    }

    /// While pending, the signal notifies when to poll again.
    pub(crate) fn poll_next(&mut self) -> Poll<Step> {
        loop {
            if let Some(message) = self.next_out() {
                let more = !matches!(self.out, Out::Nothing);
                return Poll::Ready(Step::Send(message, more));
            }
            if let Err(why) = ready!(self.poll_source()) {
                return Poll::Ready(Step::End(why));
            }
        }
    }

    /// Takes what follows into `out`, or moves on.
    fn poll_source(&mut self) -> Poll<Result<(), CallError>> {
        match &mut self.source {
            Source::Snapshot(snapshot) => match ready!(snapshot.poll_next()) {
                Some(tasks) => self.out = Out::Batch(tasks?, 0),
                None => {
                    // Releases the old version of the list.
                    self.source = Source::Log;
                    self.subscription.snapshot_was_sent();
                }
            },
            Source::Store(read) => {
                let HistoryChunk { updates, up_to } = ready!(read.poll())?;
                self.source = Source::Log;
                self.send_updates((!updates.is_empty()).then_some(updates), up_to);
                self.report_progress();
            }
            Source::Log if self.owes_synced && self.position >= self.subscription.registered => {
                self.owes_synced = false;
                self.send_mark(&synced(&self.subscription.list_id, self.position));
            }
            Source::Log => return self.poll_log(),
        }
        Poll::Ready(Ok(()))
    }

    fn poll_log(&mut self) -> Poll<Result<(), CallError>> {
        // Taken before looking: what is published later notifies again.
        let end = self.subscription.take_notification();
        let Subscription { filter, filter_since, .. } = &self.subscription;
        match self.context.log.after(self.position, filter, *filter_since) {
            Next::Ready(updates, up_to) => self.send_updates(updates, up_to),
            Next::Evicted => match end {
                Some(why) => return Poll::Ready(Err(why.into())),
                None => self.source = Source::Store(self.request_history()),
            },
            Next::CaughtUp => match end {
                Some(why) => return Poll::Ready(Err(why.into())),
                None if self.subscription.take_progress_due() => {
                    self.send_mark(&progress(self.position));
                }
                None => return Poll::Pending,
            },
        }
        Poll::Ready(Ok(()))
    }

    fn request_history(&self) -> PendingRead<HistoryChunk> {
        let (filter, after) = (self.subscription.filter.clone(), self.position);
        self.context
            .readers
            .watch(&self.context.signal, move |context| history::chunk(context, &filter, after))
    }

    /// Everything up to the revision is in the updates, or does not concern the filter.
    fn send_updates(&mut self, updates: Option<Arc<UpdateBatch>>, up_to: Revision) {
        debug_assert!(up_to > self.position, "a stream moves on");
        self.position = up_to;
        if let Some(updates) = updates {
            let updates = updates.for_client_at(self.client_at);
            self.client_at = updates.last();
            self.out = Out::Batch(updates, 0);
            if let Some(progress) = &mut self.progress {
                progress.last_sent = Instant::now();
            }
        }
    }

    fn send_mark(&mut self, mark: &TaskUpdate) {
        self.out = Out::Mark(Encoded::new(mark));
        self.client_at = self.position;
    }

    /// After history without an update, if it is time.
    fn report_progress(&mut self) {
        let Some(progress) = &mut self.progress else { return };
        let now = Instant::now();
        if matches!(self.out, Out::Nothing) && progress.last_sent + progress.interval <= now {
            progress.last_sent = now;
            self.send_mark(&self::progress(self.position));
        }
    }

    fn next_out(&mut self) -> Option<Encoded> {
        match std::mem::replace(&mut self.out, Out::Nothing) {
            Out::Nothing => None,
            Out::Mark(mark) => Some(mark),
            Out::Batch(batch, at) => {
                let messages = batch.messages(self.context.packing);
                let message = messages.get(at)?.clone();
                if at + 1 < messages.len() {
                    self.out = Out::Batch(batch, at + 1);
                }
                Some(message)
            }
        }
    }
}
