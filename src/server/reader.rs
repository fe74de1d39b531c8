use std::collections::VecDeque;
use std::io;
use std::thread::{Builder, JoinHandle};

use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError, bounded, select};
use grpcio::{Deadline, UnarySink};

use super::outbox::{Outbox, Signal};
use crate::limits::{
    LISTINGS_PENDING_BYTES_MAX, READS_MAX, SNAPSHOT_PIECE_SCANNED, SNAPSHOT_PIECE_TASKS,
};
use crate::model::{Filter, Rejection, TaskId, TaskList};
use crate::rpc::{self, Encoded, PageQuery, status};

/// Builds listings and snapshots on a thread of its own: a long one would hold up the
/// poll thread, and the state thread even more.
#[derive(Clone)]
pub struct Reader {
    reads: Sender<Read>,
    outbox: Outbox,
}

/// The running reader thread.
pub struct ReaderThread {
    /// Its disconnection ends the thread.
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

/// What to build.
pub enum Read {
    Listing(Listing),
    Piece(PieceRequest),
}

/// A page, or everything, for one call.
pub struct Listing {
    pub list: TaskList,
    pub query: PageQuery,
    pub sink: UnarySink<Encoded>,
    pub deadline: Deadline,
}

/// The next piece of a snapshot, for one stream.
pub struct PieceRequest {
    pub list: TaskList,
    pub filter: Filter,
    pub after: TaskId,
    pub to: Sender<Result<Piece, Rejection>>,
    pub signal: Signal,
}

/// A piece of a snapshot.
pub struct Piece {
    pub frames: VecDeque<Encoded>,
    /// Where the next piece begins; `None` after the last.
    pub next: Option<TaskId>,
}

impl Reader {
    pub fn start(outbox: Outbox) -> io::Result<(Reader, ReaderThread)> {
        let (reads, queue) = bounded(READS_MAX);
        let (stop, stopped) = bounded(0);
        let answers = outbox.clone();
        let thread = Builder::new()
            .name("reader".to_owned())
            .spawn(move || run(&queue, &answers, &stopped))?;
        Ok((Reader { reads, outbox }, ReaderThread { stop, thread }))
    }

    pub fn submit(&self, read: Read) {
        match self.reads.try_send(read) {
            Ok(()) => {}
            Err(TrySendError::Full(read)) => {
                read.refuse(Rejection::QueueFull { max: READS_MAX }, &self.outbox);
            }
            Err(TrySendError::Disconnected(read)) => {
                read.refuse(Rejection::ShuttingDown, &self.outbox);
            }
        }
    }
}

impl ReaderThread {
    /// Finishes the read in hand and refuses those that wait.
    pub fn stop(self) {
        drop(self.stop);
        // The thread does not panic.
        let _ = self.thread.join();
    }
}

fn run(queue: &Receiver<Read>, outbox: &Outbox, stopped: &Receiver<()>) {
    while stopped.try_recv() != Err(TryRecvError::Disconnected) {
        select! {
            recv(queue) -> read => match read {
                Ok(read) => read.answer(outbox),
                Err(_) => return,
            },
            recv(stopped) -> _ => {}
        }
        outbox.flush();
    }
    for read in queue.try_iter() {
        read.refuse(Rejection::ShuttingDown, outbox);
    }
    outbox.flush();
}

impl Read {
    fn answer(self, outbox: &Outbox) {
        match self {
            Read::Listing(listing) => listing.answer(outbox),
            Read::Piece(request) => request.answer(),
        }
    }

    fn refuse(self, why: Rejection, outbox: &Outbox) {
        match self {
            Read::Listing(listing) => outbox.finish(listing.sink, move || Err(status(&why))),
            Read::Piece(request) => request.give(Err(why)),
        }
    }
}

impl Listing {
    fn answer(self, outbox: &Outbox) {
        let page = if self.deadline.exceeded() {
            Err(Rejection::Expired)
        } else if outbox.pending_bytes() > LISTINGS_PENDING_BYTES_MAX {
            Err(Rejection::ListingsPending)
        } else {
            self.query.answer(&self.list)
        };
        match page {
            Ok(page) => {
                let page = Encoded::new(&page);
                outbox.finish_large(self.sink, page.as_bytes().len(), page);
            }
            Err(why) => outbox.finish(self.sink, move || Err(status(&why))),
        }
    }
}

impl PieceRequest {
    fn answer(self) {
        let mut piece = Piece { frames: VecDeque::new(), next: None };
        for (scanned, task) in self.list.after(self.after).enumerate() {
            if scanned == SNAPSHOT_PIECE_SCANNED || piece.frames.len() == SNAPSHOT_PIECE_TASKS {
                piece.next = Some(task.id - 1);
                break;
            }
            if self.filter.shows(task) {
                piece.frames.push_back(Encoded::new(&rpc::snapshot_update(task)));
            }
        }
        self.give(Ok(piece));
    }

    fn give(self, piece: Result<Piece, Rejection>) {
        // Fails only when the stream's client is gone.
        let _ = self.to.send(piece);
        self.signal.raise();
    }
}
