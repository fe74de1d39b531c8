//! Databases that released versions wrote, and what every later version must read in them.
//!
//! | file | written by |
//! |---|---|
//! | `format-1.db` | the store with the first migration only, closed |
//! | `format-2.db` | `todod` and its clients with a short history, stopped by SIGTERM |
//! | `format-2-killed.db` and its `-wal` | the same list, changed further, then `kill -9` |
//!
//! The `.txt` file beside each lists the content. The databases never change. The text
//! changes only to say more: `UPDATE_EXPECT=1` writes it anew.

use std::fmt::Write as _;

use expect_test::expect_file;

use super::*;
use crate::model::{Answer, Change, Fingerprint, IdempotencyRecord, Revision, Task};
use crate::store::ChangeRange;
use crate::store::oracle::parse;

const FORMAT_2_KILLED: &[u8] = include_bytes!("golden/format-2-killed.db");
const FORMAT_2_KILLED_LOG: &[u8] = include_bytes!("golden/format-2-killed.db-wal");

#[test]
fn golden_databases_open_with_their_content() {
    let killed = Fixture::with_database(FORMAT_2_KILLED);
    fs::write(killed.path().join("todo.db-wal"), FORMAT_2_KILLED_LOG).unwrap();
    for (fixture, expected) in [
        (Fixture::with_database(GOLDEN_FORMAT_1), expect_file!["golden/format-1.txt"]),
        (Fixture::with_database(GOLDEN_FORMAT_2), expect_file!["golden/format-2.txt"]),
        (killed, expect_file!["golden/format-2-killed.txt"]),
    ] {
        // The first opening migrates, the second finds what that left.
        for _ in 0..2 {
            let (mut store, loaded) = fixture.open();
            expected.assert_eq(&content(&mut store, &loaded, &expected.data()));
            Box::new(store).close().unwrap();
        }
    }
}

/// A migrated list is as good as a new one: it takes changes, and its history compacts.
#[test]
fn a_golden_database_of_format_1_takes_changes_and_compacts() {
    let fixture = Fixture::with_database(GOLDEN_FORMAT_1);
    let (mut store, loaded) = fixture.open();
    let mut oracle = Oracle::of(&loaded);
    oracle.clock = loaded.head.changed_at.0;
    store.commit(&oracle.batch("add one more; done 3")).unwrap();
    let newest = oracle.list.revision();
    assert_eq!(store.compact(&due_up_to(newest)).unwrap(), newest);
    Box::new(store).close().unwrap();
    let (_, loaded) = fixture.open();
    assert_eq!((loaded.compacted, loaded.tasks), (newest, oracle.tasks()));
}

/// All that a client can ask for, as text. The `request` lines of `expected` are the
/// requests whose ids are looked up.
fn content(store: &mut SqliteStore, loaded: &Loaded, expected: &str) -> String {
    let mut text = format!("list {}\ncompacted {}\n", loaded.list_id, loaded.compacted);
    for task in &loaded.tasks {
        writeln!(text, "task {}", shown(task)).unwrap();
    }
    let newest = loaded.tasks.iter().map(|task| task.revision).max().unwrap_or(0);
    let mut history = store.history().unwrap();
    let range = ChangeRange { after: 0, up_to: newest, task: None, complete: false, max: 1_000 };
    for recorded in history.changes(&range).unwrap() {
        writeln!(text, "{}", shown_change(&recorded.change, loaded.compacted)).unwrap();
    }
    for task in history.tasks_at(loaded.compacted, 0, 1_000).unwrap() {
        writeln!(text, "at the compacted revision: task {}", shown(&task)).unwrap();
    }
    let kept: Vec<IdempotencyRecord> = (1..=loaded.last_request)
        .filter_map(|number| store.find_request(number).unwrap())
        .collect();
    assert_eq!(kept.len(), loaded.requests.len());
    for line in expected.lines().filter_map(|line| line.strip_prefix("request ")) {
        let step = line.split(" => ").next().unwrap();
        let request = parse(step);
        let same_id =
            |kept: &&IdempotencyRecord| Some(&kept.request_id) == request.request_id.as_ref();
        let found = kept.iter().find(same_id).expect(step);
        assert_eq!(found.fingerprint, Fingerprint::new(&request), "{step}");
        let Answer::Task(answer) = &found.answer else { panic!("{step} purged") };
        writeln!(text, "request {step} => task {}", shown(answer)).unwrap();
    }
    text
}

fn shown(task: &Task) -> String {
    let completed =
        task.completed_at.map_or("open".to_owned(), |at| format!("completed at {}", at.0));
    let deleted = if task.deleted { ", deleted" } else { "" };
    format!(
        "{} revision {} created {} updated {}, {completed}{deleted}: {}",
        task.id,
        task.revision,
        task.created_at.0,
        task.updated_at.0,
        task.title.as_str()
    )
}

fn shown_change(change: &Change, compacted: Revision) -> String {
    let before = match &change.before {
        None if change.revision <= compacted => String::new(), // no longer kept
        None => " before [new]".to_owned(),
        Some(before) => {
            format!(" before [completed {} deleted {}]", before.completed(), before.deleted)
        }
    };
    let request = change.request_id.as_ref().map_or("-", |id| id.as_str());
    let kept = if change.revision <= compacted { "kept change" } else { "change" };
    format!(
        "{kept} {} {}{before} request {request} task {}",
        change.revision,
        change.action.name(),
        shown(change.after.as_ref().unwrap())
    )
}
