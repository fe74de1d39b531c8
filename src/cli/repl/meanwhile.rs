use crate::cli::render::announcement;
use crate::client::proto::TaskUpdate;

/// Changes that are told one by one, and tasks that are named, at most.
const TOLD_MAX: usize = 10;

/// What others changed while the server was away: a few changes are told as if they
/// happened now; of many, or where history is gone, the tasks are named.
#[derive(Default)]
pub struct Meanwhile {
    announcements: Vec<String>,
    /// Each once: what is named, and one more.
    ids: Vec<i32>,
    names_only: bool,
}

impl Meanwhile {
    pub fn changed(&mut self, update: &TaskUpdate) {
        if self.announcements.len() < TOLD_MAX {
            self.announcements.push(announcement(update));
        } else {
            self.names_only = true;
        }
        update.task.iter().for_each(|task| self.name(task.id));
    }

    /// A snapshot shows a task other than it was.
    pub fn task_differs(&mut self, id: i32) {
        self.names_only = true;
        self.name(id);
    }

    fn name(&mut self, id: i32) {
        if self.ids.len() <= TOLD_MAX && !self.ids.contains(&id) {
            self.ids.push(id);
        }
    }

    /// What to announce.
    pub fn told(self) -> Vec<String> {
        if !self.names_only {
            return self.announcements;
        }
        let ids: Vec<_> = self.ids.iter().take(TOLD_MAX).map(i32::to_string).collect();
        let more = if self.ids.len() > TOLD_MAX { ", ..." } else { "" };
        vec![format!("[Online] changed meanwhile: {}{more}\n", ids.join(", "))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::proto::Task;

    /// Changes of these tasks, and tasks that differ.
    fn told(changed: impl IntoIterator<Item = i32>, differ: &[i32]) -> Vec<String> {
        let mut meanwhile = Meanwhile::default();
        for id in changed {
            let task = Some(Task { id, title: "x".to_owned(), ..Default::default() }).into();
            let action = "ADDED".to_owned();
            meanwhile.changed(&TaskUpdate { task, action, ..Default::default() });
        }
        differ.iter().for_each(|id| meanwhile.task_differs(*id));
        meanwhile.told()
    }

    #[test]
    fn a_few_changes_are_told_and_many_are_named() {
        let one = "[Update] Task 7: ADDED\n  Title: x\n  Completed: False\n";
        assert_eq!(told([], &[]), [""; 0]);
        assert_eq!(told([7], &[]), [one]);
        assert_eq!(told([7; 10], &[]), [one; 10]);
        for (ids, differ, named) in [
            (vec![7; 11], &[][..], "7"),
            (vec![7], &[9], "7, 9"),
            (vec![], &[9, 8], "9, 8"),
            ((1..=10).chain([7]).collect(), &[], "1, 2, 3, 4, 5, 6, 7, 8, 9, 10"),
            ((1..=12).collect(), &[], "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, ..."),
        ] {
            assert_eq!(told(ids, differ), [format!("[Online] changed meanwhile: {named}\n")]);
        }
    }
}
