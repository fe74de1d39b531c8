use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::limits::RECENT_CHANGES_MAX;
use crate::model::{Change, Revision};

/// The newest changes, in memory. The state thread adds what it publishes; whoever
/// feeds a watcher that is behind reads. The lock is held for a few copies.
pub struct Recent(RwLock<Window>);

struct Window {
    /// In revision order, without gaps: each entry was published at once.
    bursts: VecDeque<Arc<[Change]>>,
    changes: usize,
    /// Every change after this revision, up to `newest`, is here.
    after: Revision,
    newest: Revision,
}

impl Recent {
    pub(super) fn new(newest: Revision) -> Recent {
        Recent(RwLock::new(Window { bursts: VecDeque::new(), changes: 0, after: newest, newest }))
    }

    /// The revision up to which everything was published.
    pub fn newest(&self) -> Revision {
        self.0.read().newest
    }

    pub(super) fn push(&self, burst: Arc<[Change]>) {
        let Some(last) = burst.last() else { return };
        let mut forgotten = Vec::new();
        let mut window = self.0.write();
        window.newest = last.revision();
        window.changes += burst.len();
        window.bursts.push_back(burst);
        while window.changes > RECENT_CHANGES_MAX
            && let Some(oldest) = window.bursts.pop_front()
        {
            window.changes -= oldest.len();
            window.after = oldest.last().map_or(window.after, Change::revision);
            forgotten.push(oldest);
        }
        // Freed without the lock.
        drop(window);
    }

    /// The changes after one revision and up to another, at most `max` of them; `None`
    /// if they are no longer here, or not yet.
    pub fn changes(&self, after: Revision, up_to: Revision, max: usize) -> Option<Vec<Change>> {
        let window = self.0.read();
        if after < window.after || up_to > window.newest {
            return None;
        }
        let first = window
            .bursts
            .partition_point(|burst| burst.last().is_none_or(|last| last.revision() <= after));
        let wanted = window.bursts.range(first..).flat_map(|burst| burst.iter());
        let wanted = wanted
            .skip_while(|change| change.revision() <= after)
            .take_while(|change| change.revision() <= up_to);
        Some(wanted.take(max).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::tests::change;

    fn burst(revisions: std::ops::RangeInclusive<i64>) -> Arc<[Change]> {
        revisions.map(change).collect()
    }

    fn revisions(recent: &Recent, after: i64, up_to: i64, max: usize) -> Option<Vec<i64>> {
        let found = recent.changes(after, up_to, max)?;
        Some(found.iter().map(Change::revision).collect())
    }

    #[test]
    fn what_is_here_is_told_whole_and_what_is_not_is_not_told() {
        let recent = Recent::new(10);
        assert_eq!(revisions(&recent, 10, 10, 9), Some(vec![]));
        assert_eq!(revisions(&recent, 9, 10, 9), None);
        recent.push(burst(11..=12));
        recent.push(burst(13..=13));
        recent.push(burst(14..=17));
        assert_eq!(recent.newest(), 17);
        for (after, up_to, max, told) in [
            (10, 17, 9, Some((11..=17).collect())),
            (11, 15, 9, Some(vec![12, 13, 14, 15])),
            (12, 17, 2, Some(vec![13, 14])),
            (13, 13, 9, Some(vec![])),
            (17, 17, 9, Some(vec![])),
            (9, 17, 9, None),
            (16, 18, 9, None),
        ] {
            assert_eq!(revisions(&recent, after, up_to, max), told, "({after}, {up_to}] by {max}");
        }
    }

    #[test]
    fn the_oldest_goes_when_there_is_more_than_the_limit() {
        let recent = Recent::new(0);
        let most = RECENT_CHANGES_MAX as i64;
        recent.push(burst(1..=5));
        recent.push(burst(6..=most));
        assert_eq!(revisions(&recent, 0, 3, 9), Some(vec![1, 2, 3]));
        recent.push(burst(most + 1..=most + 1));
        assert_eq!(revisions(&recent, 4, 8, 9), None);
        assert_eq!(revisions(&recent, 5, 8, 9), Some(vec![6, 7, 8]));
    }
}
