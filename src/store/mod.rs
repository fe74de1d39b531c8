//! Where the list lives. [`Store`] is the seam for other engines: nothing above it
//! may assume more than the trait says.

mod error;
mod memory;
#[cfg(test)]
mod oracle;
mod sqlite;
#[cfg(test)]
mod tests;

pub use error::{StoreError, StoreErrorKind};
pub use memory::MemoryStore;
pub use sqlite::SqliteStore;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::Receiver;

use crate::limits::CHECK_FINDINGS_MAX;
use crate::model::{Change, Head, IdempotencyRecord, Revision, Task, TaskId, TaskList, Timestamp};
use crate::os::random_hex;
use crate::wire::record;

/// The log of one list, shared by every server of that list, and the indexed history that
/// this server needs of it. Owned by the state thread.
///
/// Only `load` and `close` may wait for another machine. The other calls start work, and
/// `next` reports its outcome. A store of one process reports immediately; nothing above
/// may rely on that, nor on being the only writer.
pub trait Store: Send {
    /// The list at some entry of the log: this store's position. Called once, first.
    fn load(&mut self) -> Result<Loaded, StoreError>;

    /// The largest batch. More commands make several batches.
    fn batch_limits(&self) -> BatchLimits;

    /// Proposes the batch as the entry after this store's position. One is in flight at a
    /// time, until `next` reports `Committed`, `Conflict` or `Refused` for it.
    fn propose(&mut self, batch: Arc<Batch>);

    /// Whether the published snapshot is always current, so that reads need no barrier.
    fn is_sole_writer(&self) -> bool;

    /// Requests one `BarrierPassed`: every entry committed before this call has been
    /// reported by then.
    fn request_barrier(&mut self);

    /// The next event, in log order; `None` if there is none yet. `Committed` and `Entry`
    /// move the position. An error means that the outcome of the proposal is unknown and
    /// that only a restart can find it out.
    fn next(&mut self) -> Result<Option<Event>, StoreError>;

    /// Receives when `next` may have an event that no call of the owner caused.
    fn ready(&self) -> &Receiver<()>;

    /// When to call `on_deadline`, if at all: for stores that resend what was not answered.
    fn next_deadline(&self) -> Option<Instant>;

    /// Does what is due at this time.
    fn on_deadline(&mut self, now: Instant) -> Result<(), StoreError>;

    /// The idempotency record with this number, at or before the position.
    fn find_request(
        &mut self,
        number: RequestNumber,
    ) -> Result<Option<IdempotencyRecord>, StoreError>;

    /// A reader of the entries up to the position, for another thread. May be called
    /// several times, after `load`.
    fn history(&mut self) -> Result<Box<dyn History>, StoreError>;

    /// One step of compaction: at most [`COMPACTION_STEP`](crate::limits::COMPACTION_STEP)
    /// changes, in one transaction. Returns the compacted revision after it, the same as
    /// before if nothing was due. Errors of the kinds `NoSpace` and `Busy` changed nothing.
    fn compact(&mut self, due: &CompactionDue) -> Result<Revision, StoreError>;

    /// Leaves the store tidy. Everything committed is safe without it, too.
    fn close(self: Box<Self>) -> Result<(), StoreError>;
}

/// What happened to the log.
#[derive(Debug, Clone)]
pub enum Event {
    /// The proposal is the next entry.
    Committed,
    /// The next entry is another server's. Precedes `Conflict`, too.
    Entry(Arc<Batch>),
    /// The proposal was not and will not be committed: re-apply its commands to the list
    /// after the entries reported before, and propose again.
    Conflict,
    /// The proposal was not and will not be committed, because the store accepts nothing
    /// for now: an error of the kind `NoSpace` or `Busy`.
    Refused(StoreError),
    BarrierPassed,
    /// The log is out of reach since then; what is in flight stays in flight.
    Unreachable {
        since: Instant,
        reason: String,
    },
    Reachable,
}

/// The largest batch that a store takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    pub commands: usize,
    /// The sum of [`Change::weight`], exceeded by the last command at most.
    pub bytes: usize,
}

/// Numbers the idempotency records of a list: 1, 2, 3, in log order.
pub type RequestNumber = i64;

/// One entry of the log: the commands that were committed together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// In revision order, consecutive, the first one after the head of the log.
    pub changes: Vec<RecordedChange>,
    /// What requests with an id were answered, in order: their numbers continue those of
    /// the earlier batches.
    pub requests: Vec<IdempotencyRecord>,
    /// Where the list is after the batch.
    pub head: Head,
    /// The clock of the batch: the age of `requests`.
    pub at: Timestamp,
    /// Idempotency records up to this number are deleted; 0: none.
    pub forget_requests: RequestNumber,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.requests.is_empty()
    }

    /// The revision before the first change.
    pub fn after(&self) -> Revision {
        self.head.revision - self.changes.len() as Revision
    }
}

/// A change with the encoded task after it: the same bytes go to disk, to watchers and to
/// listings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedChange {
    pub change: Change,
    /// `change.after` as [`record::encode`] encodes it; empty if there is none.
    pub record: Vec<u8>,
}

impl From<Change> for RecordedChange {
    fn from(change: Change) -> RecordedChange {
        let record = change.after.as_deref().map_or_else(Vec::new, record::encode);
        RecordedChange { change, record }
    }
}

/// A list as it was left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// A random string made with the list.
    pub list_id: Arc<str>,
    /// In id order, deleted ones included.
    pub tasks: Vec<Arc<Task>>,
    pub head: Head,
    /// Every change after this revision is kept.
    pub compacted: Revision,
    /// The hash of the request id and the time of each idempotency record that is kept, in
    /// order and without gaps.
    pub requests: Vec<(u64, Timestamp)>,
    /// The number of the last idempotency record; 0: there was none.
    pub last_request: RequestNumber,
}

/// What the full check of a list read and found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckReport {
    /// The database.
    pub path: PathBuf,
    /// Rows that were read. Deleted tasks are included.
    pub tasks: u64,
    pub changes: u64,
    pub requests: u64,
    /// Of the newest change.
    pub revision: Revision,
    /// Every change after this revision is kept.
    pub compacted: Revision,
    /// One line for each kind of damage, up to [`CHECK_FINDINGS_MAX`]; empty if the list is sound.
    pub findings: Vec<String>,
    /// The number of all findings.
    pub found: u64,
}

impl CheckReport {
    fn add(&mut self, finding: String) {
        self.found += 1;
        if self.findings.len() < CHECK_FINDINGS_MAX {
            self.findings.push(finding);
        }
    }
}

/// How far a check has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckProgress {
    /// What it reads, such as `changes`.
    pub step: &'static str,
    /// Rows that were read.
    pub done: u64,
    /// About how many rows there are, if that is known.
    pub total: Option<u64>,
}

impl Loaded {
    pub fn list(&self, tasks_max: u32) -> TaskList {
        TaskList::new(self.list_id.clone(), self.tasks.iter().cloned(), self.head, tasks_max)
    }
}

/// Reads the changes of the list, without holding up the [`Store`].
///
/// Compaction to a revision F deletes what is at or below F, except the newest row at or
/// below F of each task. So the list at F and at any later revision can be told, and the
/// state of a task before any later change. A purged task keeps no content.
pub trait History: Send {
    /// The changes in a range, in revision order: at most `range.max` of them.
    fn changes(&mut self, range: &ChangeRange) -> Result<Vec<RecordedChange>, HistoryError>;

    /// The tasks as they were at a revision, with ids greater than `after`, in id order:
    /// at most `max`, deleted ones included. [`HistoryError::Compacted`] if the revision
    /// is below the compacted one.
    fn tasks_at(
        &mut self,
        revision: Revision,
        after: TaskId,
        max: usize,
    ) -> Result<Vec<Arc<Task>>, HistoryError>;
}

/// Which changes to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeRange {
    /// Changes with greater revisions.
    pub after: Revision,
    /// Changes up to this revision.
    pub up_to: Revision,
    /// Only changes of this task.
    pub task: Option<TaskId>,
    /// Whether a compacted revision above `after` is [`HistoryError::Compacted`]. If not,
    /// the range holds what is left of the older changes.
    pub complete: bool,
    /// At most [`HISTORY_READ_MAX`](crate::limits::HISTORY_READ_MAX).
    pub max: usize,
}

/// History that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error("the history up to revision {compacted} was compacted")]
    Compacted { compacted: Revision },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Refuses to read on after a revision if changes after it may be compacted.
fn refuse_compacted(after: Revision, compacted: Revision) -> Result<(), HistoryError> {
    match after < compacted {
        true => Err(HistoryError::Compacted { compacted }),
        false => Ok(()),
    }
}

/// Which changes compaction may pass, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompactionDue {
    /// All changes up to this revision.
    pub up_to: Revision,
    /// Changes up to this revision that were made before `made_before`, or after
    /// `future_from`: the clock was ahead when they were made.
    pub up_to_if_old: Revision,
    pub made_before: Timestamp,
    pub future_from: Timestamp,
}

impl CompactionDue {
    fn covers(&self, revision: Revision, made: Timestamp) -> bool {
        let old = made < self.made_before || made > self.future_from;
        revision <= self.up_to || (old && revision <= self.up_to_if_old)
    }
}

/// A name for a new list: 128 random bits, so that no two lists ever share it.
pub fn new_list_id() -> Result<String, getrandom::Error> {
    random_hex::<16>()
}
