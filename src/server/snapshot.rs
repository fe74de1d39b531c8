use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::{Poll, ready};

use super::reader::{Asked, Reader};
use super::transport::Signal;
use crate::limits::{
    SNAPSHOT_PIECE_SCANNED, SNAPSHOT_PIECE_TASKS, STRETCH_BYTES_MAX, UPDATE_BYTES,
};
use crate::model::{Filter, Rejection, Task, TaskId, TaskList};
use crate::rpc::Burst;

/// A snapshot on its way out: the reader thread encodes it piece by piece, as the
/// client takes it.
pub struct Snapshot {
    list: Arc<TaskList>,
    filter: Filter,
    reader: Reader,
    signal: Signal,
    next: NextPiece,
}

enum NextPiece {
    After(TaskId),
    Asked(Asked<Piece>),
    None,
}

/// A piece of a snapshot.
pub struct Piece {
    tasks: Arc<Burst>,
    /// Where the next piece begins; `None` after the last.
    next: Option<TaskId>,
}

impl Snapshot {
    pub fn new(list: Arc<TaskList>, filter: Filter, reader: Reader, signal: Signal) -> Snapshot {
        Snapshot { list, filter, reader, signal, next: NextPiece::After(0) }
    }

    /// The next tasks; `None` after the last. When pending, the signal tells.
    pub fn poll_next(&mut self) -> Poll<Option<Result<Arc<Burst>, Rejection>>> {
        loop {
            match &self.next {
                NextPiece::After(id) => self.next = NextPiece::Asked(self.ask(*id)),
                NextPiece::Asked(asked) => {
                    return Poll::Ready(Some(ready!(asked.poll()).map(|piece| {
                        self.next = piece.next.map_or(NextPiece::None, NextPiece::After);
                        piece.tasks
                    })));
                }
                NextPiece::None => return Poll::Ready(None),
            }
        }
    }

    fn ask(&self, after: TaskId) -> Asked<Piece> {
        let (list, filter) = (self.list.clone(), self.filter);
        self.reader
            .watch(&self.signal, move |reading| Ok(piece(&list, filter, after, &reading.pending)))
    }
}

fn piece(list: &TaskList, filter: Filter, after: TaskId, pending: &Arc<AtomicUsize>) -> Piece {
    let mut tasks: Vec<&Task> = Vec::new();
    let (mut next, mut bytes) = (None, 0);
    for (scanned, task) in list.after(after).enumerate() {
        let is_full = tasks.len() == SNAPSHOT_PIECE_TASKS || bytes >= STRETCH_BYTES_MAX;
        if is_full || scanned == SNAPSHOT_PIECE_SCANNED {
            next = Some(task.id - 1);
            break;
        }
        if filter.shows(task) {
            bytes += task.title.as_str().len() + UPDATE_BYTES;
            tasks.push(task);
        }
    }
    Piece { tasks: Arc::new(Burst::snapshot(tasks).weighed(pending)), next }
}
