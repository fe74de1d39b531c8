use std::sync::{Arc, Weak};

use crate::limits::SNAPSHOT_VERSIONS_MAX;
use crate::model::{Revision, TaskList};

/// The versions of the list that snapshots on their way out hold on to. Each keeps old
/// tasks in memory, so there are few: beyond, a snapshot starts from the newest of
/// these, and its watch goes on from there. Only if the history from there on is gone is
/// there one more: else a few clients that take nothing could keep all others from
/// recovering. Compaction, and the time that a snapshot may take, limit how many.
#[derive(Default)]
pub(super) struct Versions(Vec<Weak<TaskList>>);

impl Versions {
    /// A version to take a snapshot of: the list itself, as long as that is possible.
    pub(super) fn of(&mut self, list: &TaskList, compacted: Revision) -> Arc<TaskList> {
        self.0.retain(|version| version.strong_count() > 0);
        let newest = self.0.last().and_then(Weak::upgrade);
        let newest = newest.filter(|newest| newest.revision() >= compacted);
        match newest {
            Some(newest) if newest.revision() == list.revision() => newest,
            Some(newest) if self.0.len() >= SNAPSHOT_VERSIONS_MAX => newest,
            Some(_) | None => {
                let version = Arc::new(list.clone());
                self.0.push(Arc::downgrade(&version));
                version
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Guard, Mutation, Timestamp, Title};

    #[test]
    fn there_are_few_versions_and_they_are_shared() {
        let mut list = TaskList::new("l".into(), [], 1_000);
        let mut versions = Versions::default();
        let mut held = Vec::new();
        for revision in 0..SNAPSHOT_VERSIONS_MAX as i64 + 5 {
            let version = versions.of(&list, 0);
            let newest = revision.min(SNAPSHOT_VERSIONS_MAX as i64 - 1);
            assert_eq!(version.revision(), newest);
            assert!(Arc::ptr_eq(&version, &versions.of(&list, 0)), "the same again");
            held.push(version);
            let add = Mutation::Add { title: Title::new("t").unwrap() };
            list.apply(&add, &Guard::default(), Timestamp(0)).unwrap();
        }
        let version = versions.of(&list, SNAPSHOT_VERSIONS_MAX as i64);
        assert_eq!(version.revision(), list.revision(), "the others cannot be continued");
        drop(version);
        held.remove(0);
        assert_eq!(versions.of(&list, 0).revision(), list.revision(), "one was let go");
    }
}
