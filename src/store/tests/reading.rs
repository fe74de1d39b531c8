use super::*;
use crate::limits::HISTORY_READ_MAX;
use crate::model::Action;

#[test]
fn an_empty_list_has_no_history() {
    with_each_store(|mut test| {
        assert_eq!(test.read(&everything()), Ok(vec![]));
        assert_eq!(test.read_tasks_at(0, 10), Ok(vec![]));
        assert_eq!(test.compact_up_to(Revision::MAX), 0);
    });
}

#[test]
fn every_kind_of_change_is_read() {
    with_each_store(|mut test| {
        test.commit("add milk #a; done 1; reopen 1 #b; retitle 1 Brød 👩‍👧; done 1");
        test.commit("delete 1 #c; restore 1; add eggs; delete 2; add bread; delete 3; purge 3 #d");
        let read = test.read(&everything()).unwrap();
        assert_eq!(read, test.kept());
        for action in Action::ALL {
            assert!(read.iter().any(|recorded| recorded.change.action == action), "{action:?}");
        }
    });
}

/// What the documentation says, from the changes that are kept.
fn expected(
    kept: &[RecordedChange],
    compacted: Revision,
    range: &ChangeRange,
) -> Result<Vec<RecordedChange>, Revision> {
    if range.complete && compacted > range.after {
        return Err(compacted);
    }
    let in_range = |recorded: &&RecordedChange| {
        let Change { task_id, revision, .. } = recorded.change;
        let of_task = range.task.is_none_or(|id| id == task_id);
        of_task && revision > range.after && revision <= range.up_to
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
    with_each_store(|mut test| {
        test.random_changes(6);
        let id = test.oracle.list.head().last_id + 1;
        test.commit(&format!("add x; done {id}; delete {id}"));
        test.commit(&format!("purge {id}"));
        test.random_changes(5);
        let tasks = test.oracle.list.head().last_id;
        assert!((3..9).contains(&tasks), "{tasks} tasks");
        for compacted in 0..=test.newest() {
            assert_eq!(test.compact_up_to(compacted), compacted);
            let kept = test.kept();
            for range in ranges(test.newest(), tasks) {
                let expected = expected(&kept, compacted, &range);
                assert_eq!(test.read(&range), expected, "compacted {compacted}, {range:?}");
            }
        }
    });
}

#[test]
fn the_list_is_read_at_every_revision_that_is_not_compacted() {
    with_each_store(|mut test| {
        test.random_changes(100);
        for compacted in 0..=test.newest() {
            assert_eq!(test.compact_up_to(compacted), compacted);
            for revision in 0..=test.newest() {
                let read = test.read_tasks_at(revision, 7);
                match revision < compacted {
                    true => assert_eq!(read, Err(compacted)),
                    false => assert_eq!(read, Ok(test.tasks_at(revision))),
                }
            }
            let in_the_future = test.read_tasks_at(Revision::MAX, 1_000);
            assert_eq!(in_the_future, Ok(test.oracle.tasks()));
        }
    });
}

#[test]
fn the_tasks_after_an_id_are_read() {
    with_each_store(|mut test| {
        test.commit("add milk; add eggs; delete 1; add bread");
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
            let found = test.history.tasks_at(revision, after, max).unwrap();
            let found: Vec<_> = found.iter().map(|t| format!("{}@{}", t.id, t.revision)).collect();
            assert_eq!(found.join(" "), expected, "at {revision}, after {after}, at most {max}");
        }
    });
}

#[test]
fn a_read_is_limited() {
    with_each_store(|mut test| {
        let many = HISTORY_READ_MAX + 100;
        let adds: Vec<_> = (0..many).map(|n| format!("add {n}")).collect();
        test.commit(&adds.join(";"));
        let retitles: Vec<_> = (0..many).map(|n| format!("retitle 1 now {n}")).collect();
        test.commit(&retitles.join(";"));
        for task in [None, Some(1)] {
            let read = test.read(&ChangeRange { task, ..everything() }).unwrap();
            assert_eq!(read.len(), HISTORY_READ_MAX);
        }
        let newest = test.newest();
        let found = test.history.tasks_at(newest, 0, usize::MAX).unwrap();
        assert_eq!(found.len(), HISTORY_READ_MAX);
        let all = test.read_tasks_at(newest, HISTORY_READ_MAX).unwrap();
        assert_eq!(all, test.oracle.tasks());
    });
}
