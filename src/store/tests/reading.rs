use super::*;
use crate::limits::HISTORY_READ_MAX;
use crate::model::Action;

#[test]
fn an_empty_list_has_no_history() {
    with_each_store(|mut subject| {
        assert_eq!(subject.read(&everything()), Ok(vec![]));
        assert_eq!(subject.read_tasks_at(0, 10), Ok(vec![]));
        assert_eq!(subject.compact_up_to(Revision::MAX), 0);
    });
}

#[test]
fn every_kind_of_change_is_read() {
    with_each_store(|mut subject| {
        subject.turn("add milk #a; done 1; reopen 1 #b; retitle 1 Brød 👩‍👧; done 1");
        subject.turn("delete 1 #c; restore 1; add eggs; delete 2");
        let read = subject.read(&everything()).unwrap();
        assert_eq!(read, subject.made);
        for action in Action::ALL {
            assert!(read.iter().any(|change| change.action == action), "{action:?}");
        }
    });
}

/// What is documented, worked out from the changes that are kept.
fn expected(
    kept: &[Change],
    compacted: Revision,
    range: &ChangeRange,
) -> Result<Vec<Change>, Revision> {
    if range.complete && compacted > range.after {
        return Err(compacted);
    }
    let in_range = |change: &&Change| {
        let of_task = range.task.is_none_or(|id| id == change.task.id);
        of_task && change.revision() > range.after && change.revision() <= range.up_to
    };
    Ok(kept.iter().filter(in_range).take(range.max).cloned().collect())
}

/// Ranges of every kind over a list of so many changes and tasks.
fn ranges(changes: Revision, tasks: TaskId) -> Vec<ChangeRange> {
    let mut ranges = Vec::new();
    for task in std::iter::once(None).chain((0..=tasks + 1).map(Some)) {
        for (complete, max) in [(true, 99), (true, 3), (false, 99), (false, 3), (false, 0)] {
            for after in 0..=changes + 1 {
                let range = |up_to| ChangeRange { after, up_to, task, complete, max };
                ranges.extend((0..=changes + 1).map(range));
            }
        }
    }
    ranges
}

#[test]
fn every_range_is_read_before_and_after_every_compaction() {
    with_each_store(|mut subject| {
        subject.random_changes(14);
        let tasks = subject.story.list.len() as TaskId;
        assert!((3..9).contains(&tasks), "{tasks} tasks");
        for compacted in 0..=subject.newest() {
            assert_eq!(subject.compact_up_to(compacted), compacted);
            let kept = subject.kept();
            for range in ranges(subject.newest(), tasks) {
                let expected = expected(&kept, compacted, &range);
                assert_eq!(subject.read(&range), expected, "compacted {compacted}, {range:?}");
            }
        }
    });
}

#[test]
fn the_list_is_told_at_every_revision_that_is_not_gone() {
    with_each_store(|mut subject| {
        subject.random_changes(100);
        for compacted in 0..=subject.newest() {
            assert_eq!(subject.compact_up_to(compacted), compacted);
            for revision in 0..=subject.newest() {
                let read = subject.read_tasks_at(revision, 7);
                match revision < compacted {
                    true => assert_eq!(read, Err(compacted)),
                    false => assert_eq!(read, Ok(tasks(&subject.lists[revision as usize]))),
                }
            }
            let to_come = subject.read_tasks_at(Revision::MAX, 1_000);
            assert_eq!(to_come, Ok(subject.story.tasks()));
        }
    });
}

#[test]
fn the_tasks_after_an_id_are_told() {
    with_each_store(|mut subject| {
        subject.turn("add milk; add eggs; delete 1; add bread");
        for (revision, after, max, expected) in [
            (4, 0, 9, "1@3 2@2 3@4"),
            (4, 0, 2, "1@3 2@2"),
            (4, 1, 9, "2@2 3@4"),
            (4, 3, 9, ""),
            (4, TaskId::MAX, 9, ""),
            (4, -1, 1, "1@3"),
            (4, 0, 0, ""),
            (3, 0, 9, "1@3 2@2"),
            (2, 0, 9, "1@1 2@2"),
            (1, 1, 9, ""),
            (0, 0, 9, ""),
        ] {
            let found = subject.history.tasks_at(revision, after, max).unwrap();
            let found: Vec<_> = found.iter().map(|t| format!("{}@{}", t.id, t.revision)).collect();
            assert_eq!(found.join(" "), expected, "at {revision}, after {after}, at most {max}");
        }
    });
}

#[test]
fn no_read_takes_more_than_its_share() {
    with_each_store(|mut subject| {
        let many = HISTORY_READ_MAX + 100;
        let adds: Vec<_> = (0..many).map(|n| format!("add {n}")).collect();
        subject.turn(&adds.join(";"));
        let retitles: Vec<_> = (0..many).map(|n| format!("retitle 1 now {n}")).collect();
        subject.turn(&retitles.join(";"));
        for task in [None, Some(1)] {
            let read = subject.read(&ChangeRange { task, ..everything() }).unwrap();
            assert_eq!(read.len(), HISTORY_READ_MAX);
        }
        let newest = subject.newest();
        let found = subject.history.tasks_at(newest, 0, usize::MAX).unwrap();
        assert_eq!(found.len(), HISTORY_READ_MAX);
        let all = subject.read_tasks_at(newest, HISTORY_READ_MAX).unwrap();
        assert_eq!(all, subject.story.tasks());
    });
}
