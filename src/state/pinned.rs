use std::sync::{Arc, Weak};

use super::Published;
use crate::limits::PINNED_SNAPSHOTS_MAX;

/// The versions of the list that watches send as snapshots. Each keeps old tasks in memory,
/// so there are few: beyond the limit, a snapshot starts from the newest of these, and its
/// watch continues from there. Only if the history from there on was compacted is there one
/// more: otherwise a few clients that read nothing could keep all others from recovering.
/// Compaction, and the time limit for reading a snapshot, limit how many.
#[derive(Default)]
pub(super) struct PinnedSnapshots(Vec<Weak<Published>>);

impl PinnedSnapshots {
    /// A version to send: the published list itself, if the limit allows it.
    pub(super) fn pin(&mut self, published: Arc<Published>) -> Arc<Published> {
        self.0.retain(|version| version.strong_count() > 0);
        let newest = self.0.last().and_then(Weak::upgrade);
        let newest = newest.filter(|newest| newest.list.revision() >= published.compacted);
        match newest {
            Some(newest) if newest.list.revision() == published.list.revision() => newest,
            Some(newest) if self.0.len() >= PINNED_SNAPSHOTS_MAX => newest,
            Some(_) | None => {
                // Its own allocation: the weak reference must not outlive the pinning
                // because readers hold the published list.
                let version = Arc::new(Published::clone(&published));
                self.0.push(Arc::downgrade(&version));
                version
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Head, Mutation, TaskFields, TaskList, Timestamp, Title};

    #[test]
    fn versions_are_few_and_shared() {
        let mut list = TaskList::new("l".into(), [], Head::default(), 1_000);
        let mut pinned = PinnedSnapshots::default();
        let published =
            |list: &TaskList, compacted| Arc::new(Published { list: list.clone(), compacted });
        let mut held = Vec::new();
        for revision in 0..PINNED_SNAPSHOTS_MAX as i64 + 5 {
            let version = pinned.pin(published(&list, 0));
            let newest = revision.min(PINNED_SNAPSHOTS_MAX as i64 - 1);
            assert_eq!(version.list.revision(), newest);
            assert!(Arc::ptr_eq(&version, &pinned.pin(published(&list, 0))), "shared");
            held.push(version);
            let add = Mutation::Add(TaskFields { title: Title::new("t").unwrap() });
            list.apply(&add.into(), Timestamp(0)).unwrap();
        }
        let version = pinned.pin(published(&list, PINNED_SNAPSHOTS_MAX as i64));
        assert_eq!(version.list.revision(), list.revision(), "no watch can continue the others");
        drop(version);
        held.remove(0);
        let version = pinned.pin(published(&list, 0));
        assert_eq!(version.list.revision(), list.revision(), "one was released");
    }
}
