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
    /// The revision of the task's last change.
    pub revision: Revision,
    pub created_at: Timestamp,
    /// When the task last changed.
    pub updated_at: Timestamp,
    /// When the task was completed; `None` while it is open.
    pub completed_at: Option<Timestamp>,
}

/// The fields that a client gives to a new task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskFields {
    pub title: Title,
}

/// The fields that a client changes; `None` leaves a field as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaskPatch {
    pub title: Option<Title>,
}

impl Task {
    /// The weight of a task without text.
    pub const WEIGHT_MIN: usize = 100;

    pub fn completed(&self) -> bool {
        self.completed_at.is_some()
    }

    /// The task's size in bytes: at least that of its encoding. Limits count it.
    pub fn weight(&self) -> usize {
        Task::WEIGHT_MIN + self.title.as_str().len()
    }
}

impl TaskFields {
    /// A new task with these fields. The list gives it its revision.
    pub(super) fn into_task(self, id: TaskId, now: Timestamp) -> Task {
        let TaskFields { title } = self;
        Task {
            id,
            title,
            deleted: false,
            revision: 0,
            created_at: now,
            updated_at: now,
            completed_at: None,
        }
    }
}

impl TaskPatch {
    pub fn is_empty(&self) -> bool {
        *self == TaskPatch::default()
    }

    /// Sets the patch's fields.
    pub(super) fn apply_to(&self, task: &mut Task) {
        let TaskPatch { title } = self;
        if let Some(title) = title {
            task.title = title.clone();
        }
    }
}
