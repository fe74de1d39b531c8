//! Where the list lives. [`Store`] is the seam for other engines: nothing above it
//! may assume more than the trait says.

mod memory;
mod sqlite;

pub use memory::MemoryStore;
pub use sqlite::SqliteStore;

use std::path::PathBuf;
use std::sync::Arc;

use crate::model::{Change, Remembered, RequestId, Task, Timestamp};

/// Keeps the list. Owned by one thread.
pub trait Store: Send {
    /// What the store holds. Called once, before the first commit.
    fn load(&mut self) -> Result<Loaded, StoreError>;

    /// What was answered to a request with this id, if it is still remembered.
    fn find_request(&mut self, id: &RequestId) -> Result<Option<Remembered>, StoreError>;

    /// Writes all of it or nothing, in one transaction. When it returns `Ok`, the
    /// batch survives the loss of power.
    fn commit(&mut self, batch: &Batch) -> Result<(), CommitError>;

    /// Leaves the store tidy. Everything committed is safe without it, too.
    fn close(self: Box<Self>) -> Result<(), StoreError>;
}

/// A list as it was left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// A random string made with the list.
    pub list_id: Arc<str>,
    /// In id order, deleted ones included.
    pub tasks: Vec<Arc<Task>>,
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

/// A store that cannot be opened or read. The messages hold the system's error, so
/// none of these has a source: whoever prints the chain says it once.
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
        "{} is damaged ({detail}) and was left as it is: restore it from a backup, or move it away to start a new list",
        path.display()
    )]
    Corrupt { path: PathBuf, detail: String },
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
