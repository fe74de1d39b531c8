use super::{Change, Flags, Task};

/// Which tasks a reader wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Filter {
    /// All that is not deleted.
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

impl Filter {
    pub const ALL: [Filter; 5] =
        [Filter::Live, Filter::Open, Filter::Completed, Filter::Deleted, Filter::Any];

    pub fn shows(self, task: &Task) -> bool {
        self.matches(Flags::of(task))
    }

    /// Whether a watcher is told of a change: if the task matched before or matches
    /// after it, so that a watcher learns when a task leaves its filter.
    pub fn concerns(self, change: &Change) -> bool {
        self.shows(&change.task) || change.before.is_some_and(|before| self.matches(before))
    }

    fn matches(self, flags: Flags) -> bool {
        match self {
            Filter::Live => !flags.deleted,
            Filter::Open => !flags.deleted && !flags.completed,
            Filter::Completed => !flags.deleted && flags.completed,
            Filter::Deleted => flags.deleted,
            Filter::Any => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Filter::{Any, Completed, Deleted, Live, Open};

    #[test]
    fn which_flags_a_filter_matches() {
        for (completed, deleted, matching) in [
            (false, false, &[Live, Open, Any][..]),
            (true, false, &[Live, Completed, Any]),
            (false, true, &[Deleted, Any]),
            (true, true, &[Deleted, Any]),
        ] {
            for filter in Filter::ALL {
                assert_eq!(
                    filter.matches(Flags { completed, deleted }),
                    matching.contains(&filter),
                    "{filter:?}, completed {completed}, deleted {deleted}"
                );
            }
        }
    }
}
