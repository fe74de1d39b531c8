use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;
use std::{iter, mem};

use futures_util::future::{Either, select};

use super::backoff::Backoff;
use super::sequence::Sequence;
use super::watch_call::{WatchCall, WatchRequest};
use super::{CallError, Client, Code, Position, UpdateKind, example, proto};
use crate::limits::{WATCH_PROGRESS_INTERVAL, WATCH_SILENCE_MAX};

/// What to watch, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchOptions {
    pub filter: proto::Filter,
    pub start: WatchStart,
    /// Whether to connect again, for ever, when the call ends for a transient reason, and
    /// to resume where it ended.
    pub reconnect: bool,
    /// The longest time between two updates: the server fills it with PROGRESS.
    pub progress: Duration,
    /// A call on which `todod` sends nothing for this long counts as lost.
    pub silence_max: Duration,
}

impl Default for WatchOptions {
    fn default() -> WatchOptions {
        WatchOptions {
            filter: proto::Filter::LIVE,
            start: WatchStart::Now,
            reconnect: false,
            progress: WATCH_PROGRESS_INTERVAL,
            silence_max: WATCH_SILENCE_MAX,
        }
    }
}

/// Where a watch begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum WatchStart {
    /// The first change after the first connection.
    #[default]
    Now,
    /// The list as it is: RESET, SNAPSHOTs and SYNCED. Again if history is compacted later.
    Snapshot,
    /// The first change after a position. If history after it was compacted, or is later,
    /// the watch ends with OUT_OF_RANGE, or continues as with `Snapshot`.
    After { position: Position, or_snapshot: bool },
}

impl WatchStart {
    fn allows_snapshot(&self) -> bool {
        match self {
            WatchStart::Now => false,
            WatchStart::Snapshot => true,
            WatchStart::After { or_snapshot, .. } => *or_snapshot,
        }
    }
}

/// What a watch reports, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum WatchEvent {
    /// The watch is registered. With `todod` it resumes where the last call ended; the
    /// reference example's server has no revisions, so it only sends what happens from now on.
    Connected { is_todod: bool },
    /// One update, never packed. No change is missing, repeated or out of order, however
    /// many calls it took. RESET starts again.
    Update(proto::TaskUpdate),
    /// The call ended, or the server cannot be reached. The watch connects again. Reported
    /// once until the next `Connected`.
    Lost(CallError),
    /// The call ended for a reason that is not transient, or the watch does not reconnect.
    Ended(CallError),
}

/// How a [`WatchStream`] waits: the transport has no timers.
pub trait Timer {
    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send;
}

/// A watch that reconnects and resumes, without blocking.
pub struct WatchStream<T> {
    client: Client,
    options: WatchOptions,
    timer: T,
    sequence: Sequence,
    call: Option<WatchCall>,
    is_todod: bool,
    /// Whether `Connected` was reported for this call.
    is_connected: bool,
    /// Checked updates of one message, not yet returned.
    pending: VecDeque<proto::TaskUpdate>,
    /// To wait before the next connection.
    wait: Option<Duration>,
    backoff: Backoff,
    /// Whether `Lost` was reported since the last `Connected`.
    is_lost: bool,
}

impl Client {
    /// A watch that connects when its next event is asked for.
    pub fn watch_stream<T: Timer>(&self, options: WatchOptions, timer: T) -> WatchStream<T> {
        let position = match &options.start {
            WatchStart::Now | WatchStart::Snapshot => None,
            WatchStart::After { position, .. } => Some(position.clone()),
        };
        WatchStream {
            client: self.clone(),
            options,
            timer,
            sequence: Sequence::new(position),
            call: None,
            is_todod: true,
            is_connected: false,
            pending: VecDeque::new(),
            wait: None,
            backoff: Backoff::default(),
            is_lost: false,
        }
    }
}

impl<T: Timer> WatchStream<T> {
    /// Returns the next event. After `Ended` the next call connects again.
    pub async fn next(&mut self) -> WatchEvent {
        loop {
            if let Some(update) = self.next_pending() {
                return WatchEvent::Update(update);
            }
            let event = match self.advance().await {
                Ok(event) => event,
                Err(lost) => self.lost(lost),
            };
            if let Some(event) = event {
                return event;
            }
        }
    }

    /// Returns the next update of the message that the last event came from.
    pub fn next_pending(&mut self) -> Option<proto::TaskUpdate> {
        self.pending.pop_front()
    }

    /// The position after all updates of the current message; `None` before it is known,
    /// and between RESET and SYNCED.
    pub fn position(&self) -> Option<&Position> {
        self.sequence.position.as_ref()
    }

    /// Connects, or takes one message.
    async fn advance(&mut self) -> Result<Option<WatchEvent>, CallError> {
        match &mut self.call {
            Some(call) => {
                let next = match self.is_todod {
                    true => next_message(call, &self.timer, self.options.silence_max).await,
                    false => call.next().await,
                };
                self.take(next?)?;
            }
            None => {
                if let Some(wait) = self.wait {
                    self.timer.sleep(wait).await;
                    self.wait = None;
                }
                self.connect().await?;
                if self.is_todod {
                    return Ok(None);
                }
            }
        }
        let is_new = !mem::replace(&mut self.is_connected, true);
        Ok(is_new.then_some(WatchEvent::Connected { is_todod: self.is_todod }))
    }

    async fn connect(&mut self) -> Result<(), CallError> {
        let start = &self.options.start;
        self.is_todod = example::locate(&self.client, start, &mut self.sequence.position).await?;
        let request = WatchRequest {
            filter: self.options.filter,
            after: self.sequence.position.as_ref(),
            snapshot: start.allows_snapshot(),
            progress: self.options.progress,
        };
        self.call = Some(WatchCall::open(&self.client, &request)?);
        Ok(())
    }

    /// Takes all updates of a message or none: [`WatchStream::position`] never stands
    /// between two updates of one message.
    fn take(&mut self, mut message: proto::TaskUpdate) -> Result<(), CallError> {
        debug_assert!(self.pending.is_empty());
        let more = mem::take(&mut message.more);
        let updates = iter::once(message).chain(more);
        if !self.is_todod {
            self.pending.extend(updates);
            return Ok(());
        }
        let mut sequence = self.sequence.clone();
        let mut accepted = VecDeque::new();
        for update in updates {
            if self.check(&update).and_then(|()| sequence.take(&update)).map_err(|why| {
                let why = format!("{} broke the order of the watch: {why}", self.client.server());
                CallError::new(Code::Internal, why)
            })? {
                accepted.push_back(update);
            }
        }
        (self.sequence, self.pending) = (sequence, accepted);
        Ok(())
    }

    fn check(&self, update: &proto::TaskUpdate) -> Result<(), String> {
        if !update.more.is_empty() {
            return Err("updates within an update of a packed message".to_owned());
        }
        if UpdateKind::from(update) == UpdateKind::Reset && !self.options.start.allows_snapshot() {
            return Err("a RESET that was not requested".to_owned());
        }
        Ok(())
    }

    /// Ends the call. Returns what to report, if it is not reported yet.
    fn lost(&mut self, why: CallError) -> Option<WatchEvent> {
        self.call = None;
        if mem::take(&mut self.is_connected) {
            (self.backoff, self.is_lost) = (Backoff::default(), false);
        }
        self.wait = Some(self.backoff.next_wait());
        // Compacted history is not fatal if the caller accepts a snapshot.
        let is_compacted = why.code == Code::OutOfRange && self.options.start.allows_snapshot();
        if !(self.options.reconnect && (why.code.is_transient() || is_compacted)) {
            return Some(WatchEvent::Ended(why));
        }
        (!mem::replace(&mut self.is_lost, true)).then_some(WatchEvent::Lost(why))
    }
}

/// The next message of `todod`, which is never silent for long.
async fn next_message(
    call: &mut WatchCall,
    timer: &impl Timer,
    silence_max: Duration,
) -> Result<proto::TaskUpdate, CallError> {
    let silence = pin!(timer.sleep(silence_max));
    let next = match select(pin!(call.next()), silence).await {
        Either::Left((next, _)) => Some(next),
        Either::Right(_) => None,
    };
    next.unwrap_or_else(|| {
        let why = format!("{} sent nothing for {silence_max:?}", call.client().server());
        Err(CallError::new(Code::Unavailable, why))
    })
}
