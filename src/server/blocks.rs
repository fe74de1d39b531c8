use std::collections::VecDeque;
use std::sync::Arc;

use crate::limits::{BLOCKS_BYTES_MAX, HISTORY_READ_MAX};
use crate::model::{Filter, Revision};
use crate::rpc::Burst;

/// History is read in blocks: the one with the number n holds the revisions after
/// n * BLOCK, up to (n + 1) * BLOCK. Whole ones never change, so the newest few that
/// were encoded are kept for the next watcher that is behind.
#[derive(Default)]
pub struct Blocks {
    kept: VecDeque<Block>,
    bytes: usize,
}

struct Block {
    filter: Filter,
    after: Revision,
    burst: Arc<Burst>,
    bytes: usize,
}

/// Revisions in a block.
pub const BLOCK: Revision = HISTORY_READ_MAX as Revision;

impl Blocks {
    pub fn find(&self, filter: Filter, after: Revision) -> Option<Arc<Burst>> {
        let found = self.kept.iter().find(|block| block.filter == filter && block.after == after);
        found.map(|block| block.burst.clone())
    }

    pub fn keep(&mut self, filter: Filter, after: Revision, burst: &Arc<Burst>) {
        // With its packed messages, and what an empty one takes.
        let bytes = 2 * burst.bytes() + size_of::<Burst>();
        self.kept.push_back(Block { filter, after, burst: burst.clone(), bytes });
        self.bytes += bytes;
        while self.bytes > BLOCKS_BYTES_MAX
            && let Some(oldest) = self.kept.pop_front()
        {
            self.bytes -= oldest.bytes;
        }
    }
}
