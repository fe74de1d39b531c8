use super::{Action, Change, Task};

/// Which tasks a reader wants. Equal filters match the same tasks, so a filter is also the
/// key under which encoded tasks and updates are shared.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Filter {
    status: Status,
}

/// The filter values of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Status {
    /// Not deleted.
    #[default]
    Live,
    /// Neither completed nor deleted.
    Open,
    /// Completed and not deleted.
    Completed,
    /// Deleted, completed or not.
    Deleted,
    Any,
}

impl Status {
    pub const ALL: [Status; 5] =
        [Status::Live, Status::Open, Status::Completed, Status::Deleted, Status::Any];
}

impl From<Status> for Filter {
    fn from(status: Status) -> Filter {
        Filter { status }
    }
}

impl Filter {
    /// The filter as canonical text, without dots: part of page tokens.
    pub fn key(&self) -> &'static str {
        match self.status {
            Status::Live => "LIVE",
            Status::Open => "OPEN",
            Status::Completed => "COMPLETED",
            Status::Deleted => "DELETED",
            Status::Any => "ANY",
        }
    }

    pub fn matches(&self, task: &Task) -> bool {
        match self.status {
            Status::Live => !task.deleted,
            Status::Open => !task.deleted && !task.completed(),
            Status::Completed => !task.deleted && task.completed(),
            Status::Deleted => task.deleted,
            Status::Any => true,
        }
    }

    /// Whether a watcher with this filter receives the change: the task matched before or
    /// matches after it, so that a watcher learns that a task left its filter. A purge
    /// concerns every watcher: the changes before it have lost their content, so one that
    /// was away may not have learned that the task was deleted.
    pub fn concerns(&self, change: &Change) -> bool {
        if self.status == Status::Any || change.action == Action::Purged {
            return true;
        }
        let matched = |task: &Option<_>| task.as_deref().is_some_and(|task| self.matches(task));
        matched(&change.after) || matched(&change.before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Timestamp, Title};
    use Status::{Any, Completed, Deleted, Live, Open};

    #[test]
    fn status_matches_flags() {
        for (completed, deleted, matching) in [
            (false, false, &[Live, Open, Any][..]),
            (true, false, &[Live, Completed, Any]),
            (false, true, &[Deleted, Any]),
            (true, true, &[Deleted, Any]),
        ] {
            let task = Task {
                id: 1,
                title: Title::new("t").unwrap(),
                deleted,
                revision: 1,
                created_at: Timestamp(0),
                updated_at: Timestamp(0),
                completed_at: completed.then_some(Timestamp(0)),
            };
            for status in Status::ALL {
                assert_eq!(
                    Filter::from(status).matches(&task),
                    matching.contains(&status),
                    "{status:?}, completed {completed}, deleted {deleted}"
                );
            }
        }
    }
}
