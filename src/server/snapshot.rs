use std::collections::VecDeque;
use std::task::Poll;

use crossbeam_channel::{Receiver, TryRecvError, bounded};

use super::outbox::Signal;
use super::reader::{Piece, PieceRequest, Read, Reader};
use crate::model::{Filter, Rejection, TaskId, TaskList};
use crate::rpc::{self, Encoded};

/// A snapshot on its way out: the reader thread encodes it piece by piece, as the
/// client takes it.
pub struct Snapshot {
    list: TaskList,
    filter: Filter,
    reader: Reader,
    signal: Signal,
    /// What is to be sent before the next piece.
    frames: VecDeque<Encoded>,
    next: NextPiece,
}

enum NextPiece {
    After(TaskId),
    Asked(Receiver<Result<Piece, Rejection>>),
    None,
}

impl Snapshot {
    pub fn new(list: TaskList, filter: Filter, reader: Reader, signal: Signal) -> Snapshot {
        let frames = VecDeque::from([Encoded::new(&rpc::reset())]);
        Snapshot { list, filter, reader, signal, frames, next: NextPiece::After(0) }
    }

    /// The mark that follows the last frame.
    pub fn synced(&self) -> Encoded {
        Encoded::new(&rpc::synced(&self.list))
    }

    /// The next frame; `None` after the last. When pending, the signal tells.
    pub fn poll_next(&mut self) -> Poll<Option<Result<Encoded, Rejection>>> {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                return Poll::Ready(Some(Ok(frame)));
            }
            match &self.next {
                NextPiece::After(id) => self.next = NextPiece::Asked(self.ask(*id)),
                NextPiece::Asked(answer) => match answer.try_recv() {
                    Ok(Ok(piece)) => {
                        self.frames = piece.frames;
                        self.next = piece.next.map_or(NextPiece::None, NextPiece::After);
                    }
                    Ok(Err(why)) => return Poll::Ready(Some(Err(why))),
                    Err(TryRecvError::Empty) => return Poll::Pending,
                    Err(TryRecvError::Disconnected) => {
                        return Poll::Ready(Some(Err(Rejection::ShuttingDown)));
                    }
                },
                NextPiece::None => return Poll::Ready(None),
            }
        }
    }

    fn ask(&self, after: TaskId) -> Receiver<Result<Piece, Rejection>> {
        let (to, answer) = bounded(1);
        self.reader.submit(Read::Piece(PieceRequest {
            list: self.list.clone(),
            filter: self.filter,
            after,
            to,
            signal: self.signal.clone(),
        }));
        answer
    }
}
