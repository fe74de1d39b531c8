//! The order in which watch streams send.
//!
//! The C core looks at its sockets only when its completion queue is empty. Streams that send
//! their whole backlog would therefore starve every other call. So streams send in rounds: the
//! pump gives up to [`ROUND_STREAMS_MAX`] streams a time slice of a few messages each. When the
//! last slice of a round ends, another thread, the pacer, wakes the pump for the next round.
//! In between, the queue of the core runs empty, and the core reads its sockets.

use std::io;
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::thread::{self, Builder, JoinHandle};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, after, never, select, tick, unbounded};
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use super::calls::Requests;
use crate::limits::{REQUEST_CHECK, ROUND_MESSAGES, ROUND_STREAMS_MAX, ROUND_TIME_MAX};

/// The streams that have something to send and wait for a time slice.
///
/// The channel is unbounded, but it holds few entries per watch, and the number of watches is
/// limited.
#[derive(Clone)]
pub(crate) struct RunQueue {
    waiting: Sender<Entry>,
    /// The task that calls [`Scheduler::start_round`], on the poll thread.
    pump: Arc<AtomicWaker>,
}

type Entry = (Waker, Arc<Stream>);

/// The state that a stream shares with the threads that notify it.
#[derive(Default)]
struct Stream {
    waker: AtomicWaker,
    slice: Mutex<Option<TimeSlice>>,
}

/// A stream's permission to send some messages.
pub(crate) struct TimeSlice {
    /// The number of messages that the stream may still send.
    pub(crate) messages: usize,
    _round: Arc<Round>,
}

/// The streams that send at the same time. The round ends when the last of them drops its slice.
struct Round {
    began: Instant,
    ended: Sender<()>,
}

impl Drop for Round {
    fn drop(&mut self) {
        // Fails only when the pacer has ended, and with it the server.
        let _ = self.ended.send(());
    }
}

/// Wakes one stream when there is something for it to do.
#[derive(Clone)]
pub(crate) struct Signal {
    stream: Arc<Stream>,
    run_queue: RunQueue,
}

/// Starts the rounds, on the poll thread.
pub(crate) struct Scheduler {
    waiting: Receiver<Entry>,
    current: Weak<Round>,
    began: Sender<()>,
    ended: Sender<()>,
}

/// The running pacer thread. It ends when the scheduler is dropped.
pub(crate) struct PacerThread(JoinHandle<()>);

impl RunQueue {
    /// Starts the pacer, which also ends the requests that do not arrive in time.
    pub(crate) fn start(
        pump: Arc<AtomicWaker>,
        requests: Requests,
    ) -> io::Result<(RunQueue, Scheduler, PacerThread)> {
        let (queue, waiting) = unbounded();
        let paced = pump.clone();
        let (began, begun) = unbounded();
        let (ended, over) = unbounded();
        let scheduler = Scheduler { waiting: waiting.clone(), current: Weak::new(), began, ended };
        let thread = Builder::new().name("pacer".to_owned()).spawn(move || {
            let mut rounds = OpenRounds::default();
            let check = tick(REQUEST_CHECK);
            while rounds.wait(&begun, &over, &check) {
                requests.expire(Instant::now());
                if !waiting.is_empty() {
                    // On a shared core the poll thread looks at its sockets first.
                    thread::yield_now();
                    paced.wake();
                }
            }
        })?;
        Ok((RunQueue { waiting: queue, pump }, scheduler, PacerThread(thread)))
    }
}

/// What the pacer knows about the rounds that have not ended.
#[derive(Default)]
struct OpenRounds {
    /// Signed, because the end of a round may be received before its beginning.
    count: i64,
    /// Whether the newest round has exceeded its time. Set once per round, even if the round
    /// never ends.
    is_overdue: bool,
}

impl OpenRounds {
    /// Waits until a round ends or is overdue: a stream whose client suddenly stops reading does
    /// not delay the others for longer. Also returns when it is time to check the requests.
    /// Returns `false` when there will be no more rounds.
    fn wait(
        &mut self,
        begun: &Receiver<()>,
        over: &Receiver<()>,
        check: &Receiver<Instant>,
    ) -> bool {
        let is_timed = self.count > 0 && !self.is_overdue;
        let overdue = if is_timed { after(ROUND_TIME_MAX) } else { never() };
        select! {
            recv(begun) -> round => {
                self.count += 1;
                self.is_overdue = false;
                return round.is_ok();
            }
            recv(over) -> _ => self.count -= 1,
            recv(overdue) -> _ => self.is_overdue = true,
            recv(check) -> _ => {}
        }
        true
    }
}

impl Scheduler {
    /// Starts the next round, unless one is in progress.
    pub(crate) fn start_round(&mut self) {
        let current = self.current.upgrade();
        let in_progress = current.is_some_and(|round| round.began.elapsed() < ROUND_TIME_MAX);
        let streams = self.waiting.len().min(ROUND_STREAMS_MAX);
        if streams == 0 || in_progress {
            return;
        }
        let round = Arc::new(Round { began: Instant::now(), ended: self.ended.clone() });
        self.current = Arc::downgrade(&round);
        let _ = self.began.send(());
        // At least two: with one message left a stream finds out immediately that it has
        // nothing more to send.
        let messages = (ROUND_MESSAGES / streams).max(2);
        for (waker, stream) in self.waiting.try_iter().take(streams) {
            let slice = TimeSlice { messages, _round: round.clone() };
            // Dropped after the lock is released: this may end an earlier round.
            let earlier = stream.slice.lock().replace(slice);
            drop(earlier);
            waker.wake();
        }
    }
}

impl PacerThread {
    /// Waits for the thread to end. Drop the scheduler first.
    pub(crate) fn join(self) {
        // The thread does not panic.
        let _ = self.0.join();
    }
}

impl Signal {
    pub(crate) fn new(run_queue: RunQueue) -> Signal {
        Signal { stream: Arc::default(), run_queue }
    }

    /// Puts the stream into the run queue, unless it is there already. The stream gets a time
    /// slice after the pump is woken next.
    pub(crate) fn notify(&self) {
        if let Some(waker) = self.stream.waker.take() {
            // Fails only when the pump has ended, and with it every stream.
            let _ = self.run_queue.waiting.send((waker, self.stream.clone()));
        }
    }

    /// Notifies the stream and wakes the pump. Cheap on the poll thread.
    pub(crate) fn notify_now(&self) {
        self.notify();
        self.run_queue.pump.wake();
    }

    /// Sets the task to wake. Register before looking for what the signal announces.
    pub(crate) fn register(&self, stream: &Waker) {
        self.stream.waker.register(stream);
    }

    /// Returns the time slice that the stream was given since the last call, if any.
    pub(crate) fn take_slice(&self) -> Option<TimeSlice> {
        self.stream.slice.lock().take()
    }
}
