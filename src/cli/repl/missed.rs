use crate::cli::render::announcement;
use crate::client::proto::TaskUpdate;

/// Changes that are announced one by one, and ids that are listed, at most.
const ANNOUNCED_MAX: usize = 10;

/// What others changed while the server was unreachable. A few changes are announced as if
/// they happened now. Of many changes, or after history was compacted, only the ids are.
#[derive(Default)]
pub(super) struct MissedChanges {
    announcements: Vec<String>,
    /// Each id once; one more than is listed.
    ids: Vec<i32>,
    ids_only: bool,
}

impl MissedChanges {
    pub(super) fn changed(&mut self, update: &TaskUpdate) {
        if self.announcements.len() < ANNOUNCED_MAX {
            self.announcements.push(announcement(update));
        } else {
            self.ids_only = true;
        }
        update.task.iter().for_each(|task| self.list(task.id));
    }

    /// Takes a task that a snapshot shows with a newer revision.
    pub(super) fn task_differs(&mut self, id: i32) {
        self.ids_only = true;
        self.list(id);
    }

    fn list(&mut self, id: i32) {
        if self.ids.len() <= ANNOUNCED_MAX && !self.ids.contains(&id) {
            self.ids.push(id);
        }
    }

    /// Returns what to announce.
    pub(super) fn announcements(self) -> Vec<String> {
        if !self.ids_only {
            return self.announcements;
        }
        let ids: Vec<_> = self.ids.iter().take(ANNOUNCED_MAX).map(i32::to_string).collect();
        let more = if self.ids.len() > ANNOUNCED_MAX { ", ..." } else { "" };
        vec![format!("[Online] changed while offline: {}{more}\n", ids.join(", "))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::proto::Task;

    /// Announces changes of some tasks, and newer revisions of others.
    fn announced(changed: impl IntoIterator<Item = i32>, differ: &[i32]) -> Vec<String> {
        let mut missed = MissedChanges::default();
        for id in changed {
            let task = Some(Task { id, title: "x".to_owned(), ..Default::default() }).into();
            let action = "ADDED".to_owned();
            missed.changed(&TaskUpdate { task, action, ..Default::default() });
        }
        differ.iter().for_each(|id| missed.task_differs(*id));
        missed.announcements()
    }

    #[test]
    fn a_few_changes_are_announced_and_many_are_listed() {
        let one = "[Update] Task 7: ADDED\n  Title: x\n  Completed: False\n";
        assert_eq!(announced([], &[]), [""; 0]);
        assert_eq!(announced([7], &[]), [one]);
        assert_eq!(announced([7; 10], &[]), [one; 10]);
        for (ids, differ, named) in [
            (vec![7; 11], &[][..], "7"),
            (vec![7], &[9], "7, 9"),
            (vec![], &[9, 8], "9, 8"),
            ((1..=10).chain([7]).collect(), &[], "1, 2, 3, 4, 5, 6, 7, 8, 9, 10"),
            ((1..=12).collect(), &[], "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, ..."),
        ] {
            assert_eq!(
                announced(ids, differ),
                [format!("[Online] changed while offline: {named}\n")]
            );
        }
    }
}
