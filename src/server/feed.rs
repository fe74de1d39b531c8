use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use super::catch_up::{Stretch, stretch};
use super::reader::{Asked, Reader};
use super::snapshot::Snapshot;
use super::transport::Signal;
use crate::model::{Rejection, Revision};
use crate::rpc::{self, Burst, Encoded, Packing};
use crate::state::{Begin, Next, Subscription};

/// What one watcher is sent: the snapshot or the history it asked for, then its live
/// updates; and history again whenever it was too slow for those.
pub struct Feed {
    pub subscription: Subscription<Arc<Burst>>,
    phase: Phase,
    /// What is being sent.
    out: Out,
    /// Everything up to this revision was sent, or is in `out`.
    place: Revision,
    /// A SYNCED is owed once `place` has come to the live feed.
    owes_synced: bool,
    progress: Option<Progress>,
    how: Sending,
}

/// What is the same for a whole stream.
#[derive(Clone)]
pub struct Sending {
    pub packing: Packing,
    /// Tell of progress after this long without an update.
    pub progress: Option<Duration>,
    pub reader: Reader,
    pub signal: Signal,
}

enum Phase {
    Snapshot(Snapshot),
    History(History),
    /// At the newest revision that was published: the live feed is to come.
    Rejoining,
    Live,
}

/// Reading history up to where the live feed goes on; `None`: there is none yet.
struct History {
    until: Option<Revision>,
    asked: Option<Asked<Stretch>>,
}

enum Out {
    Nothing,
    Mark(Encoded),
    /// The messages of the burst from this one on.
    Burst(Arc<Burst>, usize),
}

/// Of the stream's own, for stretches of history that hold nothing for the watcher.
/// While it is live, the state thread tells of progress.
struct Progress {
    interval: Duration,
    last_sent: Instant,
}

/// What to do next.
pub enum Step {
    /// Send the frame; `true` if another one follows at once.
    Send(Encoded, bool),
    End(Rejection),
}

impl Feed {
    pub fn new(mut subscription: Subscription<Arc<Burst>>, how: Sending) -> Feed {
        let until = Some(subscription.joined());
        let history = Phase::History(History { until, asked: None });
        let (phase, place) = match std::mem::replace(&mut subscription.begin, Begin::Nothing) {
            Begin::Nothing => (Phase::Live, subscription.joined()),
            Begin::History(after) => (history, after),
            Begin::Snapshot(list) => {
                let revision = list.revision();
                let (reader, signal) = (how.reader.clone(), how.signal.clone());
                let snapshot = Snapshot::new(list, subscription.filter, reader, signal);
                (Phase::Snapshot(snapshot), revision)
            }
        };
        let progress =
            how.progress.map(|interval| Progress { interval, last_sent: Instant::now() });
        let owes_synced = !matches!(phase, Phase::Live);
        let out = match phase {
            Phase::Snapshot(_) => Out::Mark(Encoded::new(&rpc::reset())),
            Phase::History(_) | Phase::Rejoining | Phase::Live => Out::Nothing,
        };
        Feed { subscription, phase, out, place, owes_synced, progress, how }
    }

    /// Whether the stream has yet to tell that it has caught up.
    pub fn owes_synced(&self) -> bool {
        self.owes_synced
    }

    /// Lets go of everything else: what was read, and the version of the list.
    pub fn into_subscription(self) -> Subscription<Arc<Burst>> {
        self.subscription
    }

    /// When pending, the signal tells.
    pub fn poll_next(&mut self) -> Poll<Step> {
        loop {
            if let Some(frame) = self.next_out() {
                let more = self.has_out() || self.follows_at_once();
                return Poll::Ready(Step::Send(frame, more));
            }
            if let Err(why) = ready!(self.poll_source()) {
                return Poll::Ready(Step::End(why));
            }
        }
    }

    fn poll_snapshot(&mut self) -> Poll<Result<(), Rejection>> {
        let Phase::Snapshot(snapshot) = &mut self.phase else { return Poll::Ready(Ok(())) };
        match ready!(snapshot.poll_next()) {
            Some(Ok(tasks)) => self.out = Out::Burst(tasks, 0),
            Some(Err(why)) => return Poll::Ready(Err(why)),
            None => {
                // With the snapshot goes the old version of the list. If that was a shared
                // one, what came since comes next.
                let until = Some(self.subscription.joined());
                self.phase = Phase::History(History { until, asked: None });
                self.subscription.snapshot_is_taken();
            }
        }
        Poll::Ready(Ok(()))
    }

    fn synced(&self) -> Out {
        Out::Mark(Encoded::new(&rpc::synced(&self.subscription.list_id, self.place)))
    }

    /// Takes the next thing from where the watcher is, or moves it on.
    fn poll_source(&mut self) -> Poll<Result<(), Rejection>> {
        match &mut self.phase {
            Phase::Live => self.poll_live(),
            Phase::Rejoining => match self.subscription.rejoined() {
                Some(at) => {
                    self.phase = Phase::History(History { until: Some(at), asked: None });
                    Poll::Ready(Ok(()))
                }
                None => self.pending_unless_ended(),
            },
            Phase::History(history) if history.until == Some(self.place) => {
                self.phase = Phase::Live;
                if std::mem::take(&mut self.owes_synced) {
                    self.out = self.synced();
                }
                Poll::Ready(Ok(()))
            }
            Phase::History(_) => self.poll_history(),
            Phase::Snapshot(_) => self.poll_snapshot(),
        }
    }

    fn poll_live(&mut self) -> Poll<Result<(), Rejection>> {
        match self.subscription.next() {
            Next::Burst(burst, up_to) => {
                self.place = up_to;
                self.out = Out::Burst(burst, 0);
            }
            Next::Progress(up_to) => {
                self.place = up_to;
                self.out = Out::Mark(Encoded::new(&rpc::progress(up_to)));
            }
            Next::Behind => self.phase = Phase::History(History { until: None, asked: None }),
            Next::Nothing => return Poll::Pending,
            Next::End(why) => return Poll::Ready(Err(why)),
        }
        Poll::Ready(Ok(()))
    }

    fn poll_history(&mut self) -> Poll<Result<(), Rejection>> {
        let Phase::History(history) = &mut self.phase else { return Poll::Ready(Ok(())) };
        let Some(asked) = &history.asked else {
            if let Some(why) = self.subscription.ended() {
                return Poll::Ready(Err(why));
            }
            let (filter, after) = (self.subscription.filter, self.place);
            let not_beyond = history.until.unwrap_or(Revision::MAX);
            history.asked = Some(self.how.reader.watch(&self.how.signal, move |reading| {
                stretch(reading, filter, after, not_beyond)
            }));
            return Poll::Ready(Ok(()));
        };
        let stretch = match ready!(asked.poll()) {
            Ok(stretch) => stretch,
            Err(why) => return Poll::Ready(Err(why)),
        };
        history.asked = None;
        if history.until.is_none() && stretch.is_newest {
            self.subscription.rejoin();
            self.phase = Phase::Rejoining;
        }
        self.place = stretch.up_to;
        self.out = Out::Burst(stretch.burst, 0);
        self.tell_progress();
        Poll::Ready(Ok(()))
    }

    /// After a stretch that held nothing, if it is time.
    fn tell_progress(&mut self) {
        let Some(progress) = &mut self.progress else { return };
        let now = Instant::now();
        let is_empty = matches!(&self.out, Out::Burst(burst, _) if burst.is_empty());
        if !is_empty {
            progress.last_sent = now;
        } else if progress.last_sent + progress.interval <= now {
            progress.last_sent = now;
            self.out = Out::Mark(Encoded::new(&rpc::progress(self.place)));
        }
    }

    fn pending_unless_ended(&self) -> Poll<Result<(), Rejection>> {
        match self.subscription.ended() {
            Some(why) => Poll::Ready(Err(why)),
            None => Poll::Pending,
        }
    }

    fn next_out(&mut self) -> Option<Encoded> {
        match std::mem::replace(&mut self.out, Out::Nothing) {
            Out::Nothing => None,
            Out::Mark(mark) => Some(mark),
            Out::Burst(burst, at) => {
                let messages = burst.messages(self.how.packing);
                let frame = messages.get(at)?.clone();
                if at + 1 < messages.len() {
                    self.out = Out::Burst(burst, at + 1);
                }
                Some(frame)
            }
        }
    }

    fn has_out(&self) -> bool {
        !matches!(self.out, Out::Nothing)
    }

    /// Whether the next frame is there already.
    fn follows_at_once(&self) -> bool {
        match &self.phase {
            Phase::Live => self.subscription.has_more(),
            Phase::Snapshot(_) | Phase::History(_) | Phase::Rejoining => false,
        }
    }
}
