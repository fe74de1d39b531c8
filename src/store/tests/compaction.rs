use super::*;
use crate::limits::COMPACTION_STEP;
use std::sync::mpsc;
use std::thread;

const STEP: Revision = COMPACTION_STEP as Revision;

#[test]
fn a_step_passes_over_a_few_changes_and_goes_on_where_the_last_ended() {
    with_each_store(|mut subject| {
        let retitles: Vec<_> = (1..2 * STEP).map(|n| format!("retitle 1 now {n}")).collect();
        subject.turn("add milk");
        subject.turn(&retitles.join(";"));
        let up_to = STEP + 7;
        for expected in [STEP, up_to, up_to] {
            assert_eq!(subject.compact_up_to(up_to), expected);
            let left = subject.read(&ChangeRange { complete: false, ..everything() });
            assert_eq!(left, Ok(subject.kept()));
        }
        assert_eq!(subject.kept().len() as Revision, 2 * STEP - up_to + 1);
        assert_eq!(subject.compact_up_to(0), up_to, "it never goes back");
    });
}

#[test]
fn which_changes_are_due() {
    // Change 1 was made at 1,001, change 2 at 1,002 and so on.
    for (what, up_to, up_to_if_old, made_before, expected) in [
        ("nothing", 0, 0, 0, 0),
        ("up to", 4, 0, 0, 4),
        ("old, but to be kept", 0, 0, 9_999, 0),
        ("old", 0, 5, 9_999, 5),
        ("old, up to a time", 0, 5, 1_004, 3),
        ("young, but too many", 4, 5, 1_002, 4),
        ("too many, and more that are old", 2, 5, 1_005, 4),
        ("more than are old", 5, 2, 1_005, 5),
        ("no more than there are", 99, 99, 9_999, 6),
    ] {
        with_each_store(|mut subject| {
            subject.turn("add milk; add eggs; done 1; done 2; reopen 1; add bread");
            let made_before = Timestamp(made_before);
            let due = CompactionDue { up_to, up_to_if_old, made_before };
            for _ in 0..2 {
                subject.compacted = subject.store.compact(&due).unwrap();
                assert_eq!(subject.compacted, expected, "{what}");
                let left = subject.read(&ChangeRange { complete: false, ..everything() });
                assert_eq!(left, Ok(subject.kept()), "{what}");
            }
        });
    }
}

#[test]
fn the_list_goes_on_after_a_compaction() {
    with_each_store(|mut subject| {
        for _ in 0..20 {
            subject.random_changes(5);
            let newest = subject.newest();
            assert_eq!(subject.compact_up_to(newest), newest);
            assert_eq!(subject.kept().len(), subject.story.list.len());
            assert_eq!(subject.read_tasks_at(newest, 4), Ok(subject.story.tasks()));
        }
    });
}

/// A reader that pages through the history while it grows and is compacted: it misses
/// nothing, or is told that it would.
#[test]
fn a_reader_that_compaction_overtakes_is_told() {
    with_each_store(|Subject { mut store, history, mut story, .. }| {
        let (publish, published) = mpsc::channel();
        let reader = thread::spawn(|| page_through(history, published));
        for n in 0..1_000 {
            let step = story.some_step();
            store.commit(&story.turn(&step)).unwrap();
            publish.send(story.list.clone()).unwrap();
            if n % 10 == 9 {
                store.compact(&due_up_to(story.list.revision() - 5)).unwrap();
            }
        }
        drop(publish);
        assert_eq!(reader.join().unwrap(), story.list.revision());
    });
}

/// Follows the lists until no more are published. Returns the last revision.
fn page_through(mut history: Box<dyn History>, published: mpsc::Receiver<TaskList>) -> Revision {
    let mut after = 0;
    for list in published {
        let newest = list.revision();
        while after < newest {
            let range = ChangeRange { after, up_to: newest, max: 2, ..everything() };
            match gone(history.changes(&range)) {
                Ok(changes) => {
                    let read: Vec<_> = changes.iter().map(Change::revision).collect();
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
            Ok(found) => assert_eq!(found, tasks(&list)),
            Err(compacted) => assert!(compacted > newest),
        }
    }
    after
}
