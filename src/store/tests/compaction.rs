use super::*;
use crate::limits::COMPACTION_STEP;
use std::sync::mpsc;
use std::thread;

const STEP: Revision = COMPACTION_STEP as Revision;

#[test]
fn a_step_passes_a_limited_number_of_changes_and_the_next_continues() {
    with_each_store(|mut test| {
        let retitles: Vec<_> = (1..2 * STEP).map(|n| format!("retitle 1 now {n}")).collect();
        test.commit("add milk");
        test.commit(&retitles.join(";"));
        let up_to = STEP + 7;
        for expected in [STEP, up_to, up_to] {
            assert_eq!(test.compact_up_to(up_to), expected);
            let left = test.read(&ChangeRange { complete: false, ..everything() });
            assert_eq!(left, Ok(test.kept()));
        }
        assert_eq!(test.kept().len() as Revision, 2 * STEP - up_to + 1);
        assert_eq!(test.compact_up_to(0), up_to, "the compacted revision never decreases");
    });
}

#[test]
fn which_changes_are_due() {
    // Change 1 was made at 1,001, change 2 at 1,002 and so on.
    for (what, up_to, up_to_if_old, (made_before, future_from), expected) in [
        ("nothing", 0, 0, (0, 9_999), 0),
        ("up to", 4, 0, (0, 9_999), 4),
        ("old, but to be kept", 0, 0, (9_999, 9_999), 0),
        ("old", 0, 5, (9_999, 9_999), 5),
        ("old, up to a time", 0, 5, (1_004, 9_999), 3),
        ("young, but too many", 4, 5, (1_002, 9_999), 4),
        ("too many, and more that are old", 2, 5, (1_005, 9_999), 4),
        ("more than are old", 5, 2, (1_005, 9_999), 5),
        ("no more than there are", 99, 99, (9_999, 9_999), 6),
        ("in the future", 0, 5, (0, 1_000), 5),
        ("in the future, behind one that is not", 0, 5, (0, 1_001), 0),
        ("in the future, but to be kept", 0, 0, (0, 1_000), 0),
    ] {
        with_each_store(|mut test| {
            test.commit("add milk; add eggs; done 1; done 2; reopen 1; add bread");
            let made_before = Timestamp(made_before);
            let future_from = Timestamp(future_from);
            let due = CompactionDue { up_to, up_to_if_old, made_before, future_from };
            for _ in 0..2 {
                test.compacted = test.store.compact(&due).unwrap();
                assert_eq!(test.compacted, expected, "{what}");
                let left = test.read(&ChangeRange { complete: false, ..everything() });
                assert_eq!(left, Ok(test.kept()), "{what}");
            }
        });
    }
}

#[test]
fn the_list_continues_after_a_compaction() {
    with_each_store(|mut test| {
        for _ in 0..20 {
            test.random_changes(5);
            let newest = test.newest();
            assert_eq!(test.compact_up_to(newest), newest);
            assert_eq!(test.kept().len(), test.oracle.list.len());
            assert_eq!(
                test.read(&ChangeRange { complete: false, ..everything() }),
                Ok(test.kept())
            );
            assert_eq!(test.read_tasks_at(newest, 4), Ok(test.oracle.tasks()));
        }
    });
}

/// A purge takes the content of the task's earlier changes, and compaction the changes.
#[test]
fn nothing_is_left_of_a_purged_task() {
    with_each_store(|mut test| {
        test.commit("add secret; retitle 1 secret too; add milk #a; done 1; delete 1; purge 1 #b");
        test.commit("add eggs");
        for (compacted, kept) in [(0, 7), (1, 7), (2, 6), (5, 4), (6, 2), (7, 2)] {
            assert_eq!(test.compact_up_to(compacted), compacted);
            let read = test.read(&ChangeRange { complete: false, ..everything() }).unwrap();
            assert_eq!(read, test.kept(), "{compacted}");
            assert_eq!(read.len(), kept, "{compacted}");
            assert!(!format!("{read:?}").contains("secret"), "{compacted}");
            let of_task = ChangeRange { task: Some(1), complete: false, ..everything() };
            assert_eq!(test.read(&of_task).unwrap().is_empty(), compacted >= 6);
            assert_eq!(test.read_tasks_at(7, 9), Ok(test.oracle.tasks()));
        }
    });
}

/// A reader that pages through the history while it grows and is compacted misses nothing,
/// or gets an error.
#[test]
fn a_reader_that_compaction_overtakes_gets_an_error() {
    with_each_store(|StoreUnderTest { mut store, history, mut oracle, .. }| {
        let (publish, published) = mpsc::channel();
        let reader = thread::spawn(|| page_through(history, published));
        for n in 0..1_000 {
            let step = oracle.some_step();
            committed(&mut *store, &oracle.batch(&step));
            publish.send(oracle.list.clone()).unwrap();
            if n % 10 == 9 {
                store.compact(&due_up_to(oracle.list.revision() - 5)).unwrap();
            }
        }
        drop(publish);
        assert_eq!(reader.join().unwrap(), oracle.list.revision());
    });
}

/// Follows the lists until no more are published. Returns the last revision.
fn page_through(mut history: Box<dyn History>, published: mpsc::Receiver<TaskList>) -> Revision {
    let mut after = 0;
    for list in published {
        let newest = list.revision();
        while after < newest {
            let range = ChangeRange { after, up_to: newest, max: 2, ..everything() };
            match compacted(history.changes(&range)) {
                Ok(changes) => {
                    let read: Vec<_> = changes.iter().map(|r| r.change.revision).collect();
                    let next: Vec<_> = (after + 1..=newest.min(after + 2)).collect();
                    assert_eq!(read, next);
                    after += read.len() as Revision;
                }
                Err(compacted) => {
                    assert!(compacted > after);
                    after = compacted;
                }
            }
        }
        match read_tasks_at(&mut *history, newest, 3) {
            Ok(found) => {
                // A task that was purged since is left out.
                let then = tasks(&list);
                assert!(found.iter().all(|task| then.contains(task)));
            }
            Err(compacted) => assert!(compacted > newest),
        }
    }
    after
}
