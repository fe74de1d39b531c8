use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::limits::{
    self, CLOCK_AHEAD_MAX, COMPACTION_RETRY, COMPACTION_STEP, TRASH_CHECK_MAX, TRASH_RETRY,
    TRASH_STEP,
};
use crate::model::{
    Action, Change, Edit, Mutation, Precondition, Request, Revision, Task, TaskId, Timestamp,
};
use crate::store::CompactionDue;

/// How long history and deleted tasks are kept.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// The number of changes that are kept in any case.
    pub revisions: i64,
    /// Younger changes are kept, too.
    pub age: Duration,
    /// The number of changes that are kept at most, whatever their age.
    pub revisions_max: i64,
    /// Tasks that were deleted longer ago are purged; `None`: never.
    pub trash_age: Option<Duration>,
}

impl Default for Retention {
    fn default() -> Retention {
        Retention {
            revisions: limits::HISTORY_REVISIONS_DEFAULT,
            age: limits::HISTORY_AGE_DEFAULT,
            revisions_max: limits::HISTORY_REVISIONS_MAX_DEFAULT,
            trash_age: Some(limits::TRASH_AGE_DEFAULT),
        }
    }
}

impl Retention {
    /// Above the maximum, a few more changes are compacted than necessary: otherwise each
    /// batch from then on would need a step, with a sync of its own.
    fn slack(&self) -> i64 {
        ((self.revisions_max - self.revisions) / 10).min(COMPACTION_STEP as i64)
    }
}

/// When to compact history: in small steps between batches.
pub(super) struct Compaction {
    retention: Retention,
    /// Every change after this revision is kept.
    compacted: Revision,
    /// When to take the next step; `None`: nothing is due.
    next: Option<Instant>,
    /// A step failed: the next one is not taken earlier.
    not_before: Option<Instant>,
}

impl Compaction {
    pub(super) fn new(retention: Retention, compacted: Revision) -> Compaction {
        Compaction { retention, compacted, next: None, not_before: None }
    }

    pub(super) fn compacted(&self) -> Revision {
        self.compacted
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// The list has reached this revision.
    pub(super) fn reached(&mut self, head: Revision, now: Instant) {
        let kept = head - self.compacted;
        if kept > self.retention.revisions_max {
            self.next = Some(self.not_before.map_or(now, |at| at.max(now)));
        } else if kept > self.retention.revisions {
            self.next.get_or_insert(now);
        }
    }

    pub(super) fn due(&self, head: Revision, now: Timestamp) -> CompactionDue {
        CompactionDue {
            up_to: head.saturating_sub(self.retention.revisions_max - self.retention.slack()),
            up_to_if_old: head.saturating_sub(self.retention.revisions),
            made_before: before(now, self.retention.age),
            future_from: future_from(now),
        }
    }

    /// A step failed, and changed nothing.
    pub(super) fn postpone(&mut self, now: Instant) {
        self.not_before = Some(now + COMPACTION_RETRY);
        self.next = self.not_before;
    }

    /// A step has reached this compacted revision. A step without progress is repeated
    /// later: the changes are too young, or the store accepts nothing.
    pub(super) fn advanced(&mut self, compacted: Revision, head: Revision, now: Instant) {
        let advanced = compacted > self.compacted;
        self.compacted = compacted;
        self.not_before = None;
        self.next = match head - compacted > self.retention.revisions {
            true if advanced => Some(now),
            true => Some(now + COMPACTION_RETRY),
            false => None,
        };
    }
}

/// Times after this one are those of a clock that was ahead.
pub(super) fn future_from(now: Timestamp) -> Timestamp {
    Timestamp(now.0.saturating_add(CLOCK_AHEAD_MAX.as_micros() as i64))
}

/// The time that was this long before another.
fn before(now: Timestamp, age: Duration) -> Timestamp {
    Timestamp(now.0.saturating_sub(i64::try_from(age.as_micros()).unwrap_or(i64::MAX)))
}

/// The deleted tasks, the longest deleted first, and when to purge them: in small steps
/// between batches, each purge a change like any other.
pub(super) struct Trash {
    age: Option<Duration>,
    deleted: BTreeSet<(Timestamp, TaskId)>,
    /// When to look again; `None`: nothing is deleted, or nothing is ever purged.
    next: Option<Instant>,
}

impl Trash {
    pub(super) fn new<'a>(
        age: Option<Duration>,
        tasks: impl Iterator<Item = &'a Task>,
        now: Timestamp,
    ) -> Trash {
        // A clock that was ahead must not keep a task for ever.
        let deleted =
            tasks.filter(|task| task.deleted).map(|task| (task.updated_at.min(now), task.id));
        let deleted = if age.is_some() { deleted.collect() } else { BTreeSet::new() };
        Trash { age, deleted, next: None }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// The change was published.
    pub(super) fn record(&mut self, change: &Change) {
        if self.age.is_none() {
            return;
        }
        match change.action {
            Action::Deleted => _ = self.deleted.insert((change.at, change.task_id)),
            Action::Restored | Action::Purged => {
                let id = change.task_id;
                match change.before.as_deref() {
                    Some(task) if self.deleted.remove(&(task.updated_at, id)) => {}
                    _ => self.deleted.retain(|(_, deleted)| *deleted != id),
                }
            }
            Action::Added | Action::Completed | Action::Updated | Action::Reopened => {}
        }
    }

    /// Decides when to look next, after a change or a step.
    pub(super) fn schedule(&mut self, clock: Timestamp, now: Instant) {
        let due = self.age.zip(self.deleted.first()).map(|(age, (deleted, _))| {
            let waited = clock.0.saturating_sub(deleted.0);
            let waited = Duration::from_micros(u64::try_from(waited).unwrap_or(0));
            now + age.saturating_sub(waited).min(TRASH_CHECK_MAX)
        });
        self.next = due;
    }

    /// A step was refused: look again later.
    pub(super) fn postpone(&mut self, now: Instant) {
        self.next = self.next.map(|_| now + TRASH_RETRY);
    }

    /// Whether the longest deleted task is old enough.
    fn is_due(&self, clock: Timestamp) -> bool {
        let oldest = self.age.zip(self.deleted.first());
        oldest.is_some_and(|(age, (deleted, _))| *deleted <= before(clock, age))
    }

    /// A step begins. The changes that it makes schedule the next one; without any, it is
    /// repeated later. The system's clock may be a little behind the time of the step.
    pub(super) fn begin_step(&mut self, clock: Timestamp, now: Instant) {
        match self.is_due(clock) {
            true => self.postpone(now),
            false => self.schedule(clock, now),
        }
    }

    /// The next purges, at most [`TRASH_STEP`]. Each expects the task as it is in the trash.
    pub(super) fn due(
        &self,
        clock: Timestamp,
        revision_of: impl Fn(TaskId) -> Option<Revision>,
    ) -> Vec<Request> {
        let Some(age) = self.age else { return Vec::new() };
        let oldest = self.deleted.iter().take(TRASH_STEP);
        let due = oldest.take_while(|(deleted, _)| *deleted <= before(clock, age));
        let purge = |(_, id): &(Timestamp, TaskId)| {
            let expected_revision = Some(revision_of(*id)?);
            let precondition = Precondition { expected_revision };
            Some(Request { precondition, ..Mutation::Edit { id: *id, edit: Edit::Purge }.into() })
        };
        due.filter_map(purge).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_due_when_history_exceeds_its_retention() {
        let now = Instant::now();
        let retention = Retention {
            revisions: 10,
            age: Duration::from_secs(1),
            revisions_max: 100,
            trash_age: None,
        };
        let mut compaction = Compaction::new(retention, 0);
        compaction.reached(10, now);
        assert_eq!(compaction.next(), None, "these are kept in any case");
        compaction.reached(11, now);
        assert_eq!(compaction.next(), Some(now));
        assert_eq!(
            compaction.due(11, Timestamp(5_000_000)),
            CompactionDue {
                up_to: -80,
                up_to_if_old: 1,
                made_before: Timestamp(4_000_000),
                future_from: Timestamp(5_000_000 + 24 * 60 * 60 * 1_000_000),
            }
        );
        compaction.advanced(0, 11, now);
        let later = now + COMPACTION_RETRY;
        assert_eq!(compaction.next(), Some(later), "it was too young");
        compaction.reached(50, now);
        assert_eq!(compaction.next(), Some(later));
        compaction.reached(101, now);
        assert_eq!(compaction.next(), Some(now), "there are too many");
        compaction.advanced(50, 101, now);
        assert_eq!(compaction.next(), Some(now), "there is more");
        compaction.advanced(91, 101, now);
        assert_eq!((compaction.next(), compaction.compacted()), (None, 91));
    }

    #[test]
    fn failed_step_is_not_repeated_with_each_change() {
        let now = Instant::now();
        let retention = Retention { revisions: 10, revisions_max: 10, ..Retention::default() };
        let mut compaction = Compaction::new(retention, 0);
        compaction.reached(11, now);
        assert_eq!(compaction.next(), Some(now));
        compaction.postpone(now);
        compaction.reached(12, now);
        let later = now + COMPACTION_RETRY;
        assert_eq!(compaction.next(), Some(later));
        compaction.reached(13, later);
        assert_eq!(compaction.next(), Some(later));
        compaction.advanced(3, 13, later);
        compaction.reached(14, later);
        assert_eq!(compaction.next(), Some(later));
    }

    #[test]
    fn at_the_maximum_one_step_serves_many_batches() {
        let now = Instant::now();
        let age = Duration::from_secs(3600);
        for (revisions, revisions_max, slack) in [(10, 100, 9), (10, 100_000, 500), (10, 10, 0)] {
            let retention = Retention { revisions, age, revisions_max, trash_age: None };
            let mut compaction = Compaction::new(retention, 0);
            let head = revisions_max + 1;
            compaction.reached(head, now);
            let up_to = compaction.due(head, Timestamp(0)).up_to;
            assert_eq!(up_to, 1 + slack);
            compaction.advanced(up_to, head, now);
            compaction.advanced(up_to, head, now);
            let next = compaction.next();
            compaction.reached(head + slack, now);
            assert_eq!(compaction.next(), next, "not before it is full again");
            compaction.reached(head + slack + 1, now);
            assert_eq!(compaction.next(), Some(now));
        }
    }

    /// The deadline is an instant, the age a difference of the system's clock: a step may
    /// come a moment too early, and must not wait for a minute then.
    #[test]
    fn a_step_that_comes_too_early_is_repeated_when_the_task_is_old_enough() {
        let (now, age) = (Instant::now(), Duration::from_secs(1));
        let mut trash = Trash::new(Some(age), [].into_iter(), Timestamp(0));
        trash.deleted.insert((Timestamp(0), 1));
        trash.begin_step(Timestamp(999_999), now);
        assert_eq!(trash.next(), Some(now + Duration::from_micros(1)));
        trash.begin_step(Timestamp(1_000_000), now);
        assert_eq!(trash.next(), Some(now + TRASH_RETRY), "until its purge is published");
    }
}
