use expect_test::expect;

use super::*;

fn task(id: i32, title: &str) -> proto::Task {
    proto::Task { id, title: title.to_owned(), ..Default::default() }
}

fn tasks() -> Vec<proto::Task> {
    let completed = proto::Task { completed: true, ..task(20, "Bücher 返す") };
    let deleted = proto::Task { deleted: true, completed: true, ..task(1_000_000, "old") };
    vec![task(1, "Buy milk"), completed, deleted, task(i32::MAX, "a\x1b[31mb\nc")]
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[test]
fn hostile_text_is_escaped() {
    for (text, shown) in [
        ("", ""),
        ("Don't \\ \"worry\" 👩\u{200d}👧", "Don't \\ \"worry\" 👩\u{200d}👧"),
        ("\x1b[31mred", "\\u{1b}[31mred"),
        ("a\nb\r\tc\0", "a\\u{a}b\\u{d}\\u{9}c\\u{0}"),
        ("\u{9b}2J\u{7f}", "\\u{9b}2J\\u{7f}"),
        ("\u{202e}nur\u{2069}\u{2028}", "\\u{202e}nur\\u{2069}\\u{2028}"),
    ] {
        assert_eq!(Shown(text).to_string(), shown);
    }
}

#[test]
fn hostile_text_in_json_is_escaped_and_parses_to_the_same_text() {
    let title = "\x1b]0;x\x07 \u{9b}2J \u{7f} \u{202e}cod\u{2066} \" \\ é";
    let json = json(&task(1, title));
    assert!(!json.contains(is_hostile), "{json}");
    let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(parsed["title"], title);
}

#[test]
fn rows_of_the_list() {
    let lines: Vec<String> = tasks().iter().map(row).collect();
    expect![[r#"
            ID  STATE      TITLE
             1  open       Buy milk
            20  completed  Bücher 返す
        1000000  deleted    old
        2147483647  open       a\u{1b}[31mb\u{a}c
    "#]]
    .assert_eq(&plain(&format!("{}\n{}\n", header(), lines.join("\n"))));
}

#[test]
fn details_of_a_task() {
    let mut task = proto::Task { deleted: true, completed: true, revision: 9, ..task(7, "x\ny") };
    for (field, seconds) in [
        (&mut task.created_at, 0),
        (&mut task.updated_at, 1_700_000_000),
        // A time that is out of range.
        (&mut task.completed_at, i64::MAX),
    ] {
        field.mut_or_insert_default().seconds = seconds;
    }
    let zone = TimeZone::fixed(jiff::tz::offset(2));
    expect![[r#"
        id         7
        title      x\u{a}y
        state      deleted (was completed)
        revision   9
        created    1970-01-01 02:00:00 +02:00
        updated    2023-11-15 00:13:20 +02:00
        completed  9223372036854775807 s after 1970
    "#]]
    .assert_eq(&plain(&details(&task, &zone)));
}

#[test]
fn updates_and_announcements() {
    let update = |revision, action: &str, task: proto::Task| proto::TaskUpdate {
        revision,
        action: action.to_owned(),
        task: Some(task).into(),
        ..Default::default()
    };
    let of_example = update(0, "ADDED", task(1, "Buy milk"));
    let mark = |revision, action: &str| proto::TaskUpdate {
        revision,
        action: action.to_owned(),
        ..Default::default()
    };
    let mut of_todod = update(2, "COMPLETED", task(1, "Buy\x07 milk"));
    of_todod.task.mut_or_insert_default().completed = true;
    let purged = update(9, "PURGED", proto::Task { id: 7, ..Default::default() });
    expect![[r#"
        - ADDED 1 Buy milk
        2 COMPLETED 1 Buy\u{7} milk
        - RESET
        3 SYNCED
        9 PURGED 7
        [Update] purged #7
        [Update] Task 1: ADDED
          Title: Buy milk
          Completed: False
        [Update] Task 1: COMPLETED
          Title: Buy\u{7} milk
          Completed: True
    "#]]
    .assert_eq(&format!(
        "{}\n{}\n{}\n{}\n{}\n{}{}{}",
        super::update(&of_example),
        super::update(&of_todod),
        super::update(&mark(0, "RESET")),
        super::update(&mark(3, "SYNCED")),
        super::update(&purged),
        announcement(&purged),
        announcement(&of_example),
        announcement(&of_todod)
    ));
}

#[test]
fn rows_of_the_history() {
    let change = |revision, action: &str, mut task: proto::Task| {
        task.updated_at.mut_or_insert_default().seconds = 1_700_000_000;
        let (task, action) = (Some(task).into(), action.to_owned());
        proto::TaskUpdate { task, action, revision, ..Default::default() }
    };
    let zone = TimeZone::fixed(jiff::tz::offset(2));
    let rows: Vec<_> = [
        change(1, "ADDED", task(1, "Buy milk")),
        change(1_000_000, "COMPLETED", task(20, "Bücher 返す")),
        change(i64::MAX, "a\x1b[31mb", task(i32::MAX, "a\nb")),
        proto::TaskUpdate::default(),
    ]
    .iter()
    .map(|change| history_row(change, &zone))
    .collect();
    expect![[r#"
           REV  TIME                        ACTION         ID  TITLE
             1  2023-11-15 00:13:20 +02:00  ADDED           1  Buy milk
        1000000  2023-11-15 00:13:20 +02:00  COMPLETED      20  Bücher 返す
        9223372036854775807  2023-11-15 00:13:20 +02:00  a\u{1b}[31mb  2147483647  a\u{a}b
             0  -                                           0
    "#]]
    .assert_eq(&plain(&format!("{}\n{}\n", history_header(), rows.join("\n"))));
}
