//! `todo history` and `todo list --at`: the past.

use expect_test::expect;
use serde_json::Value;
use todo::client::Edit;

use crate::{client, server, session, todo};

#[test]
fn the_list_at_a_past_revision() {
    let (_server, address) = server();
    session(
        &address,
        &[
            "add a",
            "add b",
            "done 1",
            "edit 2 B",
            "rm 1",
            "list --at 0",
            "list --at 2",
            "list --at 3",
            "list --open --at 3",
            "list --at 4",
            "list --at 5 --all",
            "list --at 6",
            "list",
        ],
        &expect![[r#"
            $ todo add a
            1 a
            $ todo add b
            2 b
            $ todo done 1
            completed 1 a
            $ todo edit 2 B
            changed 2 B
            $ todo rm 1
            deleted 1 a
            $ todo list --at 0
            ! todo: no tasks
            $ todo list --at 2
                ID  STATE      TITLE
                 1  open       a
                 2  open       b
            $ todo list --at 3
                ID  STATE      TITLE
                 1  completed  a
                 2  open       b
            $ todo list --open --at 3
                ID  STATE      TITLE
                 2  open       b
            $ todo list --at 4
                ID  STATE      TITLE
                 1  completed  a
                 2  open       B
            $ todo list --at 5 --all
                ID  STATE      TITLE
                 1  deleted    a
                 2  open       B
            $ todo list --at 6
            ! todo: revision 6 is in the future: the list is at revision 5; start from the list as it is
            ! todo: leave --at out to show the list as it is
            exit 4
            $ todo list
                ID  STATE      TITLE
                 2  open       B
        "#]],
    );
    let output = todo(&address, &["list", "--at", "1", "--json"]).output().unwrap();
    let task: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&task["title"], &task["completed"]), (&"a".into(), &false.into()));
}

#[test]
fn past_changes() {
    let (_server, address) = server();
    let client = client(&address);
    client.add("a").unwrap();
    client.add("b").unwrap();
    client.edit(1, Edit::Retitle("A".to_owned())).unwrap();
    client.edit(1, Edit::Complete).unwrap();
    let mut printed = String::new();
    for line in [
        "history",
        "history 1",
        "history 2",
        "history --from 1 --to 3",
        "history 1 --from 3",
        "history 2 --from 2",
        "history 7",
        "history --from 9",
    ] {
        let args: Vec<&str> = line.split(' ').collect();
        let output = todo(&address, &args).output().unwrap();
        printed += &format!("$ {line}\n{}", timeless(&crate::seen(&output)));
    }
    expect![[r#"
        $ history
           REV  TIME                        ACTION         ID  TITLE
             1  0000-00-00 00:00:00 +00:00  ADDED           1  a
             2  0000-00-00 00:00:00 +00:00  ADDED           2  b
             3  0000-00-00 00:00:00 +00:00  UPDATED         1  A
             4  0000-00-00 00:00:00 +00:00  COMPLETED       1  A
        $ history 1
           REV  TIME                        ACTION         ID  TITLE
             1  0000-00-00 00:00:00 +00:00  ADDED           1  a
             3  0000-00-00 00:00:00 +00:00  UPDATED         1  A
             4  0000-00-00 00:00:00 +00:00  COMPLETED       1  A
        $ history 2
           REV  TIME                        ACTION         ID  TITLE
             2  0000-00-00 00:00:00 +00:00  ADDED           2  b
        $ history --from 1 --to 3
           REV  TIME                        ACTION         ID  TITLE
             2  0000-00-00 00:00:00 +00:00  ADDED           2  b
             3  0000-00-00 00:00:00 +00:00  UPDATED         1  A
        $ history 1 --from 3
           REV  TIME                        ACTION         ID  TITLE
             4  0000-00-00 00:00:00 +00:00  COMPLETED       1  A
        $ history 2 --from 2
        ! todo: no changes
        $ history 7
        ! todo: 7: Task not found
        exit 3
        $ history --from 9
        ! todo: revision 9 is in the future: the list is at revision 4; start from the list as it is
        ! todo: leave --from out to start with the oldest change that is kept
        exit 4
    "#]]
    .assert_eq(&printed);
    let output = todo(&address, &["history", "1", "--to", "1", "--json"]).output().unwrap();
    let change: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&change["action"], &change["task"]["title"]), (&"ADDED".into(), &"a".into()));
    assert_eq!(change["revision"], "1");
}

/// Replaces the digits of the times by 0.
fn timeless(printed: &str) -> String {
    let line = |line: &str| match line.split_at_checked(34) {
        Some((start, rest)) if start.ends_with(" +00:00") => {
            let (revision, time) = start.split_at(8);
            let time = time.replace(|c: char| c.is_ascii_digit(), "0");
            format!("{revision}{time}{rest}\n")
        }
        _ => format!("{line}\n"),
    };
    printed.lines().map(line).collect()
}

#[test]
fn a_history_of_many_pages() {
    let (_server, address) = server();
    let client = client(&address);
    client.add("a").unwrap();
    const CHANGES: usize = 2_001;
    for _ in 0..CHANGES / 2 {
        client.edit(1, Edit::Complete).unwrap();
        client.edit(1, Edit::Reopen).unwrap();
    }
    for args in [&["history", "--json"][..], &["history", "--json", "1"]] {
        let output = todo(&address, args).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let revisions: Vec<_> = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["revision"].clone())
            .collect();
        let expected: Vec<_> = (1..=CHANGES).map(|n| Value::from(n.to_string())).collect();
        assert_eq!(revisions, expected);
    }
}
