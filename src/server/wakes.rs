use std::io;
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::thread::{self, Builder, JoinHandle};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, after, never, select, unbounded};
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use crate::limits::{SLICE_MESSAGES, SLICE_STREAMS, SLICE_TIME_MAX};

/// The streams that have something to send, and wait for their turn. The queue is
/// unbounded in itself: each watch has few entries, and watches have a limit.
///
/// The C core looks at its sockets only when it has nothing else to do. Streams that all
/// send whatever they have would keep every other call waiting until they are done. So
/// they take turns: a slice of them sends a few messages each, and only when the last of
/// these is out, the next slice is woken, by another thread, the pacer. In between the
/// sockets are looked at.
#[derive(Clone)]
pub struct Wakes {
    waiting: Sender<Entry>,
    /// Whoever calls [`Slices::next`], on the poll thread.
    pump: Arc<AtomicWaker>,
}

type Entry = (Waker, Arc<Stream>);

/// What a stream and those who wake it share.
#[derive(Default)]
struct Stream {
    waker: AtomicWaker,
    turn: Mutex<Option<Turn>>,
}

/// A stream's right to send some messages.
pub struct Turn {
    /// How many it may still send.
    pub messages: usize,
    _slice: Arc<Slice>,
}

/// The streams whose turn it is. It ends when the last of them drops its turn.
struct Slice {
    began: Instant,
    ended: Sender<()>,
}

impl Drop for Slice {
    fn drop(&mut self) {
        // Fails only when the pacer has ended, and with it the server.
        let _ = self.ended.send(());
    }
}

/// Wakes one stream when there is something for it to do.
#[derive(Clone)]
pub struct Signal {
    stream: Arc<Stream>,
    wakes: Wakes,
}

/// Starts the slices, on the poll thread.
pub struct Slices {
    waiting: Receiver<Entry>,
    current: Weak<Slice>,
    began: Sender<()>,
    ended: Sender<()>,
}

/// Has the next slice started when one has ended.
pub struct PacerThread(JoinHandle<()>);

impl Wakes {
    pub fn start(pump: Arc<AtomicWaker>) -> io::Result<(Wakes, Slices, PacerThread)> {
        let (wakes, waiting) = unbounded();
        let paced = pump.clone();
        let (began, begun) = unbounded();
        let (ended, over) = unbounded();
        let slices = Slices { waiting: waiting.clone(), current: Weak::new(), began, ended };
        let thread = Builder::new().name("pacer".to_owned()).spawn(move || {
            let mut slices = UnderWay::default();
            while slices.pause(&begun, &over) {
                if !waiting.is_empty() {
                    // On a shared core the poll thread looks at its sockets first.
                    thread::yield_now();
                    paced.wake();
                }
            }
        })?;
        Ok((Wakes { waiting: wakes, pump }, slices, PacerThread(thread)))
    }

    /// Whether streams wait for their turn.
    pub fn are_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }
}

/// What the pacer knows of the slices.
#[derive(Default)]
struct UnderWay {
    /// An end may be told before the beginning.
    slices: i64,
    /// Whether the newest has had its time: said once, also if it never ends.
    is_overdue: bool,
}

impl UnderWay {
    /// Waits until a slice ends, or is overdue: a stream whose client suddenly takes nothing
    /// does not hold up the others for longer. `false` if there will be no more slices.
    fn pause(&mut self, begun: &Receiver<()>, over: &Receiver<()>) -> bool {
        let waits = self.slices > 0 && !self.is_overdue;
        let overdue = if waits { after(SLICE_TIME_MAX) } else { never() };
        select! {
            recv(begun) -> slice => {
                self.slices += 1;
                self.is_overdue = false;
                return slice.is_ok();
            }
            recv(over) -> _ => self.slices -= 1,
            recv(overdue) -> _ => self.is_overdue = true,
        }
        true
    }
}

impl Slices {
    /// Starts the next slice, unless one is under way.
    pub fn next(&mut self) {
        let current = self.current.upgrade();
        let is_under_way = current.is_some_and(|slice| slice.began.elapsed() < SLICE_TIME_MAX);
        let streams = self.waiting.len().min(SLICE_STREAMS);
        if streams == 0 || is_under_way {
            return;
        }
        let slice = Arc::new(Slice { began: Instant::now(), ended: self.ended.clone() });
        self.current = Arc::downgrade(&slice);
        let _ = self.began.send(());
        // One more than needed tells a stream at once that it has nothing left.
        let messages = (SLICE_MESSAGES / streams).max(2);
        for (waker, stream) in self.waiting.try_iter().take(streams) {
            let turn = Turn { messages, _slice: slice.clone() };
            // The end of an earlier turn is told without the lock.
            let earlier = stream.turn.lock().replace(turn);
            drop(earlier);
            waker.wake();
        }
    }
}

impl PacerThread {
    /// Call it when the slices are gone.
    pub fn join(self) {
        // The thread does not panic.
        let _ = self.0.join();
    }
}

impl Signal {
    pub fn new(wakes: Wakes) -> Signal {
        Signal { stream: Arc::default(), wakes }
    }

    /// Puts the stream into the queue, unless it is there. Takes effect when the pump is
    /// woken next.
    pub fn raise(&self) {
        if let Some(waker) = self.stream.waker.take() {
            // Fails only when the pump has ended, and with it every stream.
            let _ = self.wakes.waiting.send((waker, self.stream.clone()));
        }
    }

    /// Raises it, and wakes the pump. Cheap on the poll thread.
    pub fn raise_at_once(&self) {
        self.raise();
        self.wakes.pump.wake();
    }

    /// Whom to wake. Register before looking for what the signal announces.
    pub fn register(&self, stream: &Waker) {
        self.stream.waker.register(stream);
    }

    /// The stream's turn, if it was given one since.
    pub fn take_turn(&self) -> Option<Turn> {
        self.stream.turn.lock().take()
    }
}
