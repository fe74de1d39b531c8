//! Disks and people damage files. A damaged list must be refused and left as it is,
//! because it may still be rescued.

use super::*;

const PAGE: usize = 4096;

/// What recovery reported.
fn detail(error: StoreError) -> String {
    match error {
        StoreError::Corrupt { detail, .. } => detail,
        other => panic!("{other}"),
    }
}

#[test]
fn tables_that_disagree_are_refused() {
    for (sql, expected) in [
        ("UPDATE tasks SET title = 'eggs' WHERE id = 1", "task 1 is not what change 2 made of it"),
        (
            "UPDATE tasks SET completed_at = NULL WHERE id = 1",
            "task 1 is not what change 2 made of it",
        ),
        (
            "UPDATE tasks SET created_at = created_at - 1 WHERE id = 2",
            "task 2 is not what change 3 made of it",
        ),
        (
            "UPDATE tasks SET updated_at = updated_at + 1 WHERE id = 2",
            "task 2 is not what change 3 made of it",
        ),
        (
            "UPDATE changes SET deleted = 1 WHERE revision = 3",
            "task 2 is not what change 3 made of it",
        ),
        ("DELETE FROM tasks WHERE id = 2", "change 3 is of task 2, which is missing"),
        ("DELETE FROM tasks", "change 1 is of task 1, which is missing"),
        (
            "UPDATE tasks SET revision = 1, updated_at = 1001, completed_at = NULL WHERE id = 1",
            "task 1 is at revision 1, but change 2 is newer",
        ),
        ("UPDATE changes SET revision = 9 WHERE revision = 2", "change 2 is missing"),
        (
            "UPDATE tasks SET revision = 9 WHERE id = 2",
            "task 2 is at revision 9, which no change made",
        ),
        (
            "UPDATE tasks SET revision = 3 WHERE id = 1",
            "task 1 is at revision 3, which no change made",
        ),
        ("DELETE FROM changes WHERE revision = 3", "task 2 is at revision 3, which no change made"),
        (
            "UPDATE tasks SET title = ' eggs' WHERE id = 2",
            "task 2 cannot be read: a title has outer white space",
        ),
        (
            "UPDATE tasks SET title = char(7) WHERE id = 2",
            "task 2 cannot be read: a title cannot hold the control or direction character U+0007 \
             (at character 1): remove it",
        ),
        (
            "UPDATE tasks SET title = CAST(x'c328' AS TEXT) WHERE id = 2",
            "task 2 cannot be read: invalid utf-8 sequence of 1 bytes from index 0",
        ),
        (
            "UPDATE changes SET title = CAST(x'c328' AS TEXT) WHERE revision = 3",
            "change 3 cannot be read: invalid utf-8 sequence of 1 bytes from index 0",
        ),
        ("UPDATE tasks SET id = 0 WHERE id = 1", "task 0 follows task 0"),
        (
            "UPDATE tasks SET id = 1 << 40 WHERE id = 2",
            "Integer 1099511627776 out of range at index 0",
        ),
        ("DELETE FROM meta", "the list has no list_id"),
        ("DROP TABLE changes", "no such table: changes"),
    ] {
        let fixture = Fixture::new();
        let (mut store, loaded) = fixture.open();
        store.commit(&Story::of(&loaded).turn("add milk; done 1; add bread")).unwrap();
        drop(store);
        fixture.tamper(sql);
        assert_eq!(detail(fixture.refused()), expected, "{sql}");
    }
}

#[test]
fn history_with_a_gap_is_refused() {
    // Revisions 1 to 6: task 1 at 1, 2 and 6, task 2 at 3 and 5, task 3 at 4.
    for (compacted, sql, expected) in [
        (0, "DELETE FROM changes WHERE revision = 1", "change 1 is missing"),
        (0, "DELETE FROM changes WHERE revision = 2", "change 2 is missing"),
        (0, "DELETE FROM changes WHERE revision IN (1, 2)", "change 1 is missing"),
        (0, "DELETE FROM changes WHERE revision IN (2, 3)", "change 2 is missing"),
        (
            0,
            "DELETE FROM changes WHERE revision = 6",
            "task 1 is at revision 6, which no change made",
        ),
        (0, "UPDATE changes SET revision = -1 WHERE revision = 1", "change -1 follows change 0"),
        (3, "DELETE FROM changes WHERE revision = 4", "change 4 is missing"),
        (3, "DELETE FROM changes WHERE revision = 5", "change 5 is missing"),
        (
            3,
            "DELETE FROM changes WHERE revision = 2",
            "the change of task 1 before change 6 is missing",
        ),
        (
            3,
            "DELETE FROM changes WHERE revision IN (2, 3)",
            "the change of task 2 before change 5 is missing",
        ),
        (
            4,
            "DELETE FROM changes WHERE revision = 4",
            "task 3 is at revision 4, which no change made",
        ),
        (3, "UPDATE meta SET value = '0' WHERE value = '3'", "change 1 is missing"),
        (
            3,
            "UPDATE meta SET value = '1' WHERE value = '3'",
            "the change of task 1 before change 2 is missing",
        ),
        (
            3,
            "UPDATE meta SET value = '5' WHERE value = '3'",
            "it is compacted up to revision 5, but task 2 has changes before 5",
        ),
        (
            3,
            "UPDATE meta SET value = '7' WHERE value = '3'",
            "it is compacted up to revision 7, but its tasks are at 6",
        ),
        (3, "UPDATE meta SET value = '-1' WHERE value = '3'", "its compacted revision is \"-1\""),
        (3, "UPDATE meta SET value = 'x' WHERE value = '3'", "its compacted revision is \"x\""),
        (3, "DELETE FROM meta WHERE value = '3'", "the list has no compacted revision"),
    ] {
        let fixture = Fixture::new();
        let (mut store, loaded) = fixture.open();
        let script = "add milk; done 1; add eggs; add bread; done 2; reopen 1";
        store.commit(&Story::of(&loaded).turn(script)).unwrap();
        store.compact(&due_up_to(compacted)).unwrap();
        drop(store);
        fixture.open();
        fixture.tamper(sql);
        assert_eq!(detail(fixture.refused()), expected, "compacted {compacted}, {sql}");
    }
}

#[test]
fn damaged_files_are_refused() {
    let (sound, loaded) = well_used_database();
    assert_eq!(Fixture::with_database(&sound).open().1, loaded);
    let pages = sound.len() / PAGE;
    let garbage = |from: usize, bytes: usize| {
        let mut damaged = sound.clone();
        damaged[from..from + bytes].fill(0xa5);
        damaged
    };
    for (what, damaged) in [
        ("garbage in the middle", garbage(pages / 2 * PAGE, 8 * PAGE)),
        ("garbage in the first page, after the header", garbage(100, PAGE - 100)),
        ("an impossible page size", garbage(16, 2)),
        ("half a file", sound[..pages / 2 * PAGE].to_vec()),
        ("a file without its last page", sound[..(pages - 1) * PAGE].to_vec()),
        ("the first page alone", sound[..PAGE].to_vec()),
        ("half a header", sound[..50].to_vec()),
        ("a format that does not exist", [&sound[..60], &[0; 4], &sound[64..]].concat()),
    ] {
        let fixture = Fixture::with_database(&damaged);
        for _ in 0..2 {
            let error = fixture.refused();
            assert!(matches!(error, StoreError::Corrupt { .. }), "{what}: {error}");
        }
    }
}

/// Whichever page is damaged, the list is refused or is still complete.
#[test]
fn damaged_page_never_yields_another_list() {
    let (sound, loaded) = well_used_database();
    let mut seen = 0;
    let pages = sound.len() / PAGE;
    for page in 1..pages {
        for ruin in [[0x00; PAGE], [0xa5; PAGE]] {
            let mut damaged = sound.clone();
            damaged[page * PAGE..(page + 1) * PAGE].copy_from_slice(&ruin);
            let fixture = Fixture::with_database(&damaged);
            match fixture.try_open() {
                Ok((_, survived)) => assert_eq!(survived, loaded, "page {page}"),
                Err(StoreError::Corrupt { .. }) => seen += 1,
                Err(other) => panic!("page {page}: {other}"),
            }
        }
    }
    // Most pages hold tasks and changes; the others hold requests and their index.
    assert!(seen > pages, "{seen} of {} cases", 2 * pages);
}

#[test]
fn refused_list_keeps_its_log() {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut story = Story::of(&loaded);
    store.commit(&story.turn("add milk")).unwrap();
    drop(store);
    let (mut store, _) = fixture.open();
    store.commit(&story.turn("add bread")).unwrap();
    store.connection.execute_batch("DELETE FROM changes WHERE revision = 2").unwrap();
    let killed = fixture.after_kill();
    assert!(killed.bytes()[1].is_some());
    assert_eq!(detail(killed.refused()), "task 2 is at revision 2, which no change made");
}
