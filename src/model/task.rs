use super::Title;

/// 1 for the first task, growing by one, never reused.
pub type TaskId = i32;

/// Counts the changes of a list: the first change makes revision 1.
pub type Revision = i64;

/// Microseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

/// One task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    pub id: TaskId,
    pub title: Title,
    pub deleted: bool,
    /// Of the task's last change.
    pub revision: Revision,
    pub created_at: Timestamp,
    /// When the task last changed.
    pub updated_at: Timestamp,
    /// When the task was completed; `None` while it is open.
    pub completed_at: Option<Timestamp>,
}

impl Task {
    pub fn completed(&self) -> bool {
        self.completed_at.is_some()
    }
}
