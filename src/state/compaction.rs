use std::time::{Duration, Instant};

use crate::limits::{self, COMPACTION_RETRY, COMPACTION_STEP};
use crate::model::{Revision, Timestamp};
use crate::store::CompactionDue;

/// How much history is kept.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Changes, at least.
    pub revisions: i64,
    /// Changes younger than this, too,
    pub age: Duration,
    /// but no more changes than this.
    pub revisions_max: i64,
}

impl Default for Retention {
    fn default() -> Retention {
        Retention {
            revisions: limits::HISTORY_REVISIONS_DEFAULT,
            age: limits::HISTORY_AGE_DEFAULT,
            revisions_max: limits::HISTORY_REVISIONS_MAX_DEFAULT,
        }
    }
}

impl Retention {
    /// What goes beyond the most that is kept goes with a few more: else there would be a
    /// step, with a sync of its own, for each turn from then on.
    fn slack(&self) -> i64 {
        ((self.revisions_max - self.revisions) / 10).min(COMPACTION_STEP as i64)
    }
}

/// When to forget history: in small steps between turns.
pub(super) struct Compaction {
    retention: Retention,
    /// Every change after this revision is kept.
    compacted: Revision,
    /// When to take the next step; `None`: there is nothing to forget yet.
    next: Option<Instant>,
}

impl Compaction {
    pub(super) fn new(retention: Retention, compacted: Revision) -> Compaction {
        Compaction { retention, compacted, next: None }
    }

    pub(super) fn compacted(&self) -> Revision {
        self.compacted
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// The list has come to this revision.
    pub(super) fn at(&mut self, head: Revision, now: Instant) {
        let kept = head - self.compacted;
        if kept > self.retention.revisions_max {
            self.next = Some(now);
        } else if kept > self.retention.revisions {
            self.next.get_or_insert(now);
        }
    }

    pub(super) fn due(&self, head: Revision, now: Timestamp) -> CompactionDue {
        let age_micros = i64::try_from(self.retention.age.as_micros()).unwrap_or(i64::MAX);
        CompactionDue {
            up_to: head.saturating_sub(self.retention.revisions_max - self.retention.slack()),
            up_to_if_old: head.saturating_sub(self.retention.revisions),
            made_before: Timestamp(now.0.saturating_sub(age_micros)),
        }
    }

    /// A step has come to this compacted revision. One that did not get on is tried
    /// again later: what is there is too young, or the store takes nothing.
    pub(super) fn stepped(&mut self, compacted: Revision, head: Revision, now: Instant) {
        let got_on = compacted > self.compacted;
        self.compacted = compacted;
        self.next = match head - compacted > self.retention.revisions {
            true if got_on => Some(now),
            true => Some(now + COMPACTION_RETRY),
            false => None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_when() {
        let now = Instant::now();
        let retention =
            Retention { revisions: 10, age: Duration::from_secs(1), revisions_max: 100 };
        let mut compaction = Compaction::new(retention, 0);
        compaction.at(10, now);
        assert_eq!(compaction.next(), None, "these are kept in any case");
        compaction.at(11, now);
        assert_eq!(compaction.next(), Some(now));
        assert_eq!(
            compaction.due(11, Timestamp(5_000_000)),
            CompactionDue { up_to: -80, up_to_if_old: 1, made_before: Timestamp(4_000_000) }
        );
        compaction.stepped(0, 11, now);
        let later = now + COMPACTION_RETRY;
        assert_eq!(compaction.next(), Some(later), "it was too young");
        compaction.at(50, now);
        assert_eq!(compaction.next(), Some(later));
        compaction.at(101, now);
        assert_eq!(compaction.next(), Some(now), "there are too many");
        compaction.stepped(50, 101, now);
        assert_eq!(compaction.next(), Some(now), "there is more");
        compaction.stepped(91, 101, now);
        assert_eq!((compaction.next(), compaction.compacted()), (None, 91));
    }

    #[test]
    fn at_the_most_that_is_kept_a_step_serves_many_turns() {
        let now = Instant::now();
        let age = Duration::from_secs(3600);
        for (revisions, revisions_max, slack) in [(10, 100, 9), (10, 100_000, 500), (10, 10, 0)] {
            let retention = Retention { revisions, age, revisions_max };
            let mut compaction = Compaction::new(retention, 0);
            let head = revisions_max + 1;
            compaction.at(head, now);
            let up_to = compaction.due(head, Timestamp(0)).up_to;
            assert_eq!(up_to, 1 + slack);
            compaction.stepped(up_to, head, now);
            compaction.stepped(up_to, head, now);
            let next = compaction.next();
            compaction.at(head + slack, now);
            assert_eq!(compaction.next(), next, "not before it is full again");
            compaction.at(head + slack + 1, now);
            assert_eq!(compaction.next(), Some(now));
        }
    }
}
