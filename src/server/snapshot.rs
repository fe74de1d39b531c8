use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::{Poll, ready};

use super::codec::{CallError, UpdateBatch};
use super::reader::{PendingRead, Readers};
use super::transport::Signal;
use crate::limits::{SNAPSHOT_PIECE_SCANNED, SNAPSHOT_PIECE_TASKS, UPDATE_BATCH_BYTES_MAX};
use crate::model::{Filter, Task, TaskId, TaskList};
use crate::state::Published;

/// A snapshot in transmission: the reader threads encode it piece by piece, as the client
/// takes it.
pub(crate) struct Snapshot {
    list: Arc<Published>,
    filter: Filter,
    readers: Readers,
    signal: Signal,
    next: NextPiece,
}

enum NextPiece {
    After(TaskId),
    Pending(PendingRead<Piece>),
    None,
}

/// A piece of a snapshot.
pub(crate) struct Piece {
    tasks: Arc<UpdateBatch>,
    /// Where the next piece begins; `None` after the last.
    next: Option<TaskId>,
}

impl Snapshot {
    pub(crate) fn new(
        list: Arc<Published>,
        filter: Filter,
        readers: Readers,
        signal: Signal,
    ) -> Snapshot {
        Snapshot { list, filter, readers, signal, next: NextPiece::After(0) }
    }

    /// The next tasks; `None` after the last. While pending, the signal notifies when to poll
    /// again.
    pub(crate) fn poll_next(&mut self) -> Poll<Option<Result<Arc<UpdateBatch>, CallError>>> {
        loop {
            match &self.next {
                NextPiece::After(id) => self.next = NextPiece::Pending(self.request(*id)),
                NextPiece::Pending(read) => {
                    return Poll::Ready(Some(ready!(read.poll()).map(|piece| {
                        self.next = piece.next.map_or(NextPiece::None, NextPiece::After);
                        piece.tasks
                    })));
                }
                NextPiece::None => return Poll::Ready(None),
            }
        }
    }

    fn request(&self, after: TaskId) -> PendingRead<Piece> {
        let (published, filter) = (self.list.clone(), self.filter.clone());
        self.readers.watch(&self.signal, move |context| {
            Ok(piece(&published.list, &filter, after, &context.shared.pending))
        })
    }
}

fn piece(list: &TaskList, filter: &Filter, after: TaskId, pending: &Arc<AtomicUsize>) -> Piece {
    let mut tasks: Vec<&Task> = Vec::new();
    let (mut next, mut bytes) = (None, 0);
    for (scanned, task) in list.after(after).enumerate() {
        let is_full = tasks.len() == SNAPSHOT_PIECE_TASKS || bytes >= UPDATE_BATCH_BYTES_MAX;
        if is_full || scanned == SNAPSHOT_PIECE_SCANNED {
            next = Some(task.id - 1);
            break;
        }
        if filter.matches(task) {
            bytes += task.weight();
            tasks.push(task);
        }
    }
    Piece { tasks: Arc::new(UpdateBatch::snapshot(tasks).weighed(pending)), next }
}
