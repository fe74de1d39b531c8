//! Reads of history for streams and calls, on the reader threads.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use super::codec::{CallError, UpdateBatch};
use super::reader::ReadContext;
use crate::limits::{HISTORY_CACHE_BYTES_MAX, HISTORY_READ_MAX, UPDATE_BATCH_BYTES_MAX};
use crate::model::{Filter, Revision, Task, TaskId};
use crate::plural::counted;
use crate::state::{EncodedUpdates, StateError};
use crate::store::{ChangeRange, History, HistoryError, RecordedChange};

/// A stretch of history, as one filter sees it.
pub(crate) struct HistoryChunk {
    pub(crate) updates: Arc<UpdateBatch>,
    /// Everything up to this revision is in the updates, or does not concern the filter.
    pub(crate) up_to: Revision,
}

/// The newest whole chunks that were encoded, for the next lagging stream. A whole chunk
/// holds the revisions after n * CHUNK, up to (n + 1) * CHUNK, and never changes.
#[derive(Default)]
pub(crate) struct HistoryCache(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    chunks: VecDeque<KeptChunk>,
    bytes: usize,
}

struct KeptChunk {
    filter: Filter,
    after: Revision,
    updates: Arc<UpdateBatch>,
    bytes: usize,
}

/// Revisions in a whole chunk.
const CHUNK: Revision = HISTORY_READ_MAX as Revision;

impl HistoryCache {
    fn find(&self, filter: &Filter, after: Revision) -> Option<Arc<UpdateBatch>> {
        let kept = self.0.lock();
        let found = kept.chunks.iter().find(|c| c.after == after && c.filter == *filter);
        found.map(|chunk| chunk.updates.clone())
    }

    fn keep(&self, filter: &Filter, after: Revision, updates: &Arc<UpdateBatch>) {
        // With its packed messages, and the size of an empty one.
        let bytes = 2 * updates.bytes() + size_of::<UpdateBatch>();
        let chunk = KeptChunk { filter: filter.clone(), after, updates: updates.clone(), bytes };
        let mut evicted = Vec::new();
        let mut kept = self.0.lock();
        kept.chunks.push_back(chunk);
        kept.bytes += bytes;
        while kept.bytes > HISTORY_CACHE_BYTES_MAX
            && let Some(oldest) = kept.chunks.pop_front()
        {
            kept.bytes -= oldest.bytes;
            evicted.push(oldest);
        }
        drop(kept);
        drop(evicted); // freed without the lock
    }
}

/// The next chunk after a position, not beyond the published head.
pub(crate) fn chunk(
    context: &mut ReadContext,
    filter: &Filter,
    after: Revision,
) -> Result<HistoryChunk, CallError> {
    let head = context.log.head();
    let up_to = ((after / CHUNK + 1) * CHUNK).min(head);
    let is_whole = up_to - after == CHUNK;
    if is_whole && let Some(updates) = context.shared.history_cache.find(filter, after) {
        return Ok(HistoryChunk { updates, up_to });
    }
    let (updates, reached) = read(&mut *context.history, filter, after, up_to)?;
    let updates = Arc::new(updates.weighed(&context.shared.pending));
    if is_whole && reached == up_to {
        context.shared.history_cache.keep(filter, after, &updates);
    }
    Ok(HistoryChunk { updates, up_to: reached })
}

/// What concerns the filter, up to that revision or until there is enough of it.
fn read(
    history: &mut dyn History,
    filter: &Filter,
    after: Revision,
    up_to: Revision,
) -> Result<(UpdateBatch, Revision), CallError> {
    let range = ChangeRange { after, up_to, task: None, complete: true, max: HISTORY_READ_MAX };
    let changes = changes(history, &range)?;
    // Compaction leaves no gaps above its revision; a stream must not have any, either.
    if changes.len() as Revision != up_to - after {
        let stored = counted(changes.len(), "change is stored", "changes are stored");
        log::error!("only {stored} after {after} up to {up_to}");
        return Err(StateError::Unreadable.into());
    }
    let (mut concerned, mut bytes, mut reached) = (Vec::new(), 0, after);
    for recorded in &changes {
        reached = recorded.change.revision;
        if filter.concerns(&recorded.change) {
            bytes += recorded.change.weight();
            concerned.push(recorded);
        }
        if bytes >= UPDATE_BATCH_BYTES_MAX {
            break;
        }
    }
    Ok((UpdateBatch::encode(after, &concerned), reached))
}

/// The changes in a range.
pub(crate) fn changes(
    history: &mut dyn History,
    range: &ChangeRange,
) -> Result<Vec<RecordedChange>, CallError> {
    history.changes(range).map_err(|error| call_error(error, range.after))
}

/// Some tasks as they were at a revision, in id order; none if there are no more.
pub(crate) fn tasks(
    history: &mut dyn History,
    revision: Revision,
    after: TaskId,
) -> Result<Vec<Arc<Task>>, CallError> {
    let tasks = history.tasks_at(revision, after, HISTORY_READ_MAX);
    tasks.map_err(|error| call_error(error, revision))
}

fn call_error(error: HistoryError, asked: Revision) -> CallError {
    let error = match error {
        HistoryError::Compacted { compacted } => StateError::HistoryCompacted { asked, compacted },
        HistoryError::Store(error) => {
            log::error!("history cannot be read: {error}");
            StateError::Unreadable
        }
    };
    error.into()
}
