use std::sync::Arc;

use super::blocks::BLOCK;
use super::past;
use super::reader::Reading;
use crate::limits::{HISTORY_READ_MAX, STRETCH_BYTES_MAX, UPDATE_BYTES};
use crate::model::{Filter, Rejection, Revision};
use crate::rpc::Burst;
use crate::state::HistoryReader;
use crate::store::ChangeRange;

/// A stretch of history, as one filter sees it.
pub struct Stretch {
    pub burst: Arc<Burst>,
    /// Everything up to this revision is in it, or was before it.
    pub up_to: Revision,
    /// Whether it reaches to the newest revision that was published.
    pub is_newest: bool,
}

/// The next stretch after a revision, and not beyond another one.
pub fn stretch(
    reading: &mut Reading,
    filter: Filter,
    after: Revision,
    not_beyond: Revision,
) -> Result<Stretch, Rejection> {
    let newest = reading.history.published();
    let block_end = (after / BLOCK + 1) * BLOCK;
    let up_to = block_end.min(not_beyond).min(newest);
    if up_to - after == BLOCK
        && let Some(burst) = reading.blocks.find(filter, after)
    {
        return Ok(Stretch { burst, up_to, is_newest: up_to == newest });
    }
    let (burst, up_to) = read(&mut reading.history, filter, after, up_to)?;
    let burst = Arc::new(burst.weighed(&reading.pending));
    if up_to - after == BLOCK {
        reading.blocks.keep(filter, after, &burst);
    }
    Ok(Stretch { burst, up_to, is_newest: up_to == newest })
}

/// What concerns the filter, up to that revision or until there is enough of it.
fn read(
    history: &mut HistoryReader,
    filter: Filter,
    after: Revision,
    up_to: Revision,
) -> Result<(Burst, Revision), Rejection> {
    let range = ChangeRange { after, up_to, task: None, complete: true, max: HISTORY_READ_MAX };
    let changes = past::changes(history, &range)?;
    // Compaction leaves no gaps above its revision; a stream with one would be a lie.
    if changes.len() as Revision != up_to - after {
        log::error!("of the changes after {after} up to {up_to} only {} are there", changes.len());
        return Err(Rejection::Unreadable);
    }
    let (mut concerned, mut bytes, mut reached) = (Vec::new(), 0, after);
    for change in &changes {
        reached = change.revision();
        if filter.concerns(change) {
            bytes += change.task.title.as_str().len() + UPDATE_BYTES;
            concerned.push(change);
        }
        if bytes >= STRETCH_BYTES_MAX {
            break;
        }
    }
    Ok((Burst::new(concerned), reached))
}
