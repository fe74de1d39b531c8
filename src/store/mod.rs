//! Where the list lives. [`Store`] is the seam for other engines: nothing above it
//! may assume more than the trait says.

mod memory;
mod sqlite;
#[cfg(test)]
mod story;
#[cfg(test)]
mod tests;

pub use memory::MemoryStore;
pub use sqlite::SqliteStore;

use std::path::PathBuf;
use std::sync::Arc;

use crate::model::{Change, Remembered, RequestId, Revision, Task, TaskId, Timestamp};

/// Keeps the list. Owned by one thread.
pub trait Store: Send {
    /// What the store holds. Called once, before the first commit.
    fn load(&mut self) -> Result<Loaded, StoreError>;

    /// What was answered to a request with this id, if it is still remembered.
    fn find_request(&mut self, id: &RequestId) -> Result<Option<Remembered>, StoreError>;

    /// Writes all of it or nothing, in one transaction. When it returns `Ok`, the
    /// batch survives the loss of power.
    fn commit(&mut self, batch: &Batch) -> Result<(), CommitError>;

    /// A reader of what is committed, for another thread. Called once, after `load`.
    fn history(&mut self) -> Result<Box<dyn History>, StoreError>;

    /// One step of compaction: at most [`COMPACTION_STEP`](crate::limits::COMPACTION_STEP) changes, in one transaction.
    /// Returns the compacted revision after it, the same as before if nothing was due.
    fn compact(&mut self, due: &CompactionDue) -> Result<Revision, CommitError>;

    /// Leaves the store tidy. Everything committed is safe without it, too.
    fn close(self: Box<Self>) -> Result<(), StoreError>;
}

/// Reads the changes of the list, without holding up the [`Store`].
///
/// Compaction to a revision F deletes what is at or below F, except the newest row at or
/// below F of each task: so the list at F, and at any later revision, can still be told.
pub trait History: Send {
    /// The changes in a range, in revision order: at most `range.max` of them.
    fn changes(&mut self, range: &ChangeRange) -> Result<Vec<Change>, HistoryError>;

    /// The tasks as they were at a revision, with ids greater than `after`, in id order:
    /// at most `max`, deleted ones included. [`HistoryError::Gone`] if the revision is
    /// below the compacted one.
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
    /// Changes with greater revisions,
    pub after: Revision,
    /// up to this one.
    pub up_to: Revision,
    /// Only of this task.
    pub task: Option<TaskId>,
    /// Whether a compacted revision above `after` is [`HistoryError::Gone`], or what is
    /// left of the older changes will do.
    pub complete: bool,
    /// At most [`HISTORY_READ_MAX`](crate::limits::HISTORY_READ_MAX).
    pub max: usize,
}

/// History that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error("the history up to revision {compacted} is gone")]
    Gone { compacted: Revision },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Refuses to read on after a revision if changes after it may be gone.
fn refuse_gone(after: Revision, compacted: Revision) -> Result<(), HistoryError> {
    match after < compacted {
        true => Err(HistoryError::Gone { compacted }),
        false => Ok(()),
    }
}

/// Which changes compaction may pass over, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompactionDue {
    /// All up to this revision,
    pub up_to: Revision,
    /// and those up to this one
    pub up_to_if_old: Revision,
    /// that were made before this time.
    pub made_before: Timestamp,
}

impl CompactionDue {
    fn covers(&self, revision: Revision, made: Timestamp) -> bool {
        let old = made < self.made_before;
        revision <= self.up_to || (old && revision <= self.up_to_if_old)
    }
}

/// A list as it was left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// A random string made with the list.
    pub list_id: Arc<str>,
    /// In id order, deleted ones included.
    pub tasks: Vec<Arc<Task>>,
    /// Every change after this revision is kept.
    pub compacted: Revision,
}

impl Loaded {
    /// The revision of the newest change, 0 for a new list.
    fn revision(&self) -> Revision {
        self.tasks.iter().map(|task| task.revision).max().unwrap_or(0)
    }
}

/// A list that was checked in full and is sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    pub path: PathBuf,
    /// Deleted ones included.
    pub tasks: usize,
    /// Of the newest change.
    pub revision: Revision,
    /// Every change after this revision is kept.
    pub compacted: Revision,
}

/// A name for a new list: 128 random bits, so that no two lists ever share it.
pub fn new_list_id() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What one turn writes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// In revision order.
    pub changes: Vec<Change>,
    /// Answers to requests that carried an id, in the order of their turn.
    pub remembered: Vec<Remembered>,
    /// The turn's clock, in microseconds since the Unix epoch: the age of `remembered`.
    pub now: Timestamp,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.remembered.is_empty()
    }
}

/// A store that cannot be opened or read. The messages include the system's error, so
/// none of these has a source: a printed chain would repeat it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot use the data directory {}: {error}; give another --data-dir", path.display())]
    Directory { path: PathBuf, error: std::io::Error },
    #[error(
        "the data directory {} is in use by {holder}: stop that, or give another --data-dir",
        path.display()
    )]
    InUse { path: PathBuf, holder: String },
    #[error(
        "cannot open {} for writing ({error}): make it writable for the user that runs todod, or give another --data-dir",
        path.display()
    )]
    ReadOnly { path: PathBuf, error: std::io::Error },
    #[error(
        "{} is no todo database: move it away, or give another --data-dir",
        path.display()
    )]
    Foreign { path: PathBuf },
    #[error(
        "{} has format {found}, this program knows formats up to {known}: use a newer todod",
        path.display()
    )]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error(
        "{} is damaged ({detail}) and was left as it is: restore it from a backup, or move it away and start a new list with --init",
        path.display()
    )]
    Corrupt { path: PathBuf, detail: String },
    #[error(
        "{} is missing or empty, but a list was kept there: put it or a backup back, or start a new list with --init",
        path.display()
    )]
    Missing { path: PathBuf },
    #[error(
        "{0}-wal belongs to another file than {0}, which was replaced after todod was killed; both were left as they are: to use {0} as it is, delete {0}-wal; to keep the earlier list, put its file back",
        path.display()
    )]
    StrayLog { path: PathBuf },
    #[error("cannot read or write {}: {detail}", path.display())]
    Failed { path: PathBuf, detail: String },
}

/// A commit that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Nothing was written, and the store can go on once there is space.
    #[error("there is no space left on the store's disk: {0}")]
    NoSpace(String),
    /// Nothing was written, and the store can go on once the other program lets it.
    #[error("another program holds the store's lock: {0}")]
    Busy(String),
    /// Nobody knows what reached the disk: only a restart, which reads it, does.
    #[error("a write to the store failed, its outcome is unknown: {0}")]
    Unknown(String),
}
