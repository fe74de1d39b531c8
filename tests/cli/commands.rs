//! What each command does.

use std::process::Command;
use std::time::Instant;

use expect_test::expect;
use todo::client::{ChangesQuery, Edit};
use todo::server::Server;
use todo::state::{Limits, Retention};
use todo::store::MemoryStore;

use crate::example_server::ExampleServer;
use crate::watch::Watching;
use crate::{DEADLINE, PROGRAM, client, seen, server, session, todo};

#[test]
fn every_command() {
    let (_server, address) = server();
    session(
        &address,
        &[
            "list",
            "add Buy milk",
            "add -q Sweep the floor",
            "add --quiet -- -x",
            "done 1 2",
            "done 1",
            "reopen 2",
            "edit 2 Mop the floor",
            "rm 3",
            "list",
            "list --open",
            "list --completed",
            "list --deleted",
            "restore 3",
            "list --open",
        ],
        &expect![[r#"
            $ todo list
            ! todo: no tasks
            $ todo add Buy milk
            1 Buy milk
            $ todo add -q Sweep the floor
            2
            $ todo add --quiet -- -x
            3
            $ todo done 1 2
            completed 1 Buy milk
            completed 2 Sweep the floor
            $ todo done 1
            already completed 1 Buy milk
            $ todo reopen 2
            reopened 2 Sweep the floor
            $ todo edit 2 Mop the floor
            changed 2 Mop the floor
            $ todo rm 3
            deleted 3 -x
            $ todo list
                ID  STATE      TITLE
                 1  completed  Buy milk
                 2  open       Mop the floor
            $ todo list --open
                ID  STATE      TITLE
                 2  open       Mop the floor
            $ todo list --completed
                ID  STATE      TITLE
                 1  completed  Buy milk
            $ todo list --deleted
                ID  STATE      TITLE
                 3  deleted    -x
            $ todo restore 3
            restored 3 -x
            $ todo list --open
                ID  STATE      TITLE
                 2  open       Mop the floor
                 3  open       -x
        "#]],
    );
}

/// The answer shows the task either way. Only the history tells whether this call changed it.
#[test]
fn an_edit_without_effect_claims_no_change() {
    let (_server, address) = server();
    session(
        &address,
        &[
            "add a",
            "reopen 1",
            "restore 1",
            "edit 1 a",
            "done 1 1",
            "rm 1 1",
            "restore 1",
            "reopen 1",
            "edit 1 b",
        ],
        &expect![[r#"
            $ todo add a
            1 a
            $ todo reopen 1
            already open 1 a
            $ todo restore 1
            not deleted 1 a
            $ todo edit 1 a
            unchanged 1 a
            $ todo done 1 1
            completed 1 a
            already completed 1 a
            $ todo rm 1 1
            deleted 1 a
            already deleted 1 a
            $ todo restore 1
            restored 1 a
            $ todo reopen 1
            reopened 1 a
            $ todo edit 1 b
            changed 1 b
        "#]],
    );
}

/// Compaction keeps the newest change of each task, so an old task tells as well.
#[test]
fn an_edit_without_effect_is_noticed_after_its_task_was_compacted() {
    let retention = Retention { revisions: 1, revisions_max: 1, ..Retention::default() };
    let limits = Limits { change_log_changes: 4, retention, ..Limits::default() };
    let store = Box::new(MemoryStore::new("test-list"));
    let server = Server::start(store, limits, &["127.0.0.1:0".parse().unwrap()]).unwrap();
    let client = client(&server.addresses()[0].to_string());
    client.add("a").unwrap();
    assert!(!client.edit_noticing_noop(1, Edit::Complete).unwrap().is_noop);
    let own = ChangesQuery { task_id: Some(1), after_revision: Some(1), up_to_revision: Some(2) };
    let deadline = Instant::now() + DEADLINE;
    while client.changes(own).next().unwrap().is_ok() {
        assert!(Instant::now() < deadline, "compacted in {DEADLINE:?}");
        client.add("later").unwrap();
    }
    assert!(client.edit_noticing_noop(1, Edit::Complete).unwrap().is_noop);
    assert!(!client.edit_noticing_noop(1, Edit::Reopen).unwrap().is_noop);
}

#[test]
fn purge_removes_a_deleted_task() {
    let (_server, address) = server();
    session(
        &address,
        &["add a", "add b", "purge 1", "rm 1", "purge 1 7", "list --all", "history 1", "purge 1"],
        &expect![[r#"
            $ todo add a
            1 a
            $ todo add b
            2 b
            $ todo purge 1
            ! todo: 1: task 1 is not deleted: delete it before you purge it
            exit 4
            $ todo rm 1
            deleted 1 a
            $ todo purge 1 7
            purged 1
            ! todo: 7: Task not found
            exit 3
            $ todo list --all
                ID  STATE      TITLE
                 2  open       b
            $ todo history 1
               REV  TIME                        ACTION         ID  TITLE
                 1  -                           ADDED           1
                 3  -                           DELETED         1
                 4  -                           PURGED          1
            $ todo purge 1
            ! todo: 1: Task not found
            exit 3
        "#]],
    );
}

#[test]
fn show_prints_local_times() {
    let (_server, address) = server();
    todo(&address, &["add", "Buy milk"]).status().unwrap();
    todo(&address, &["done", "1"]).status().unwrap();
    // UTC+2, in the notation of POSIX.
    let output = todo(&address, &["show", "1"]).env("TZ", "<+02>-2").output().unwrap();
    let printed = seen(&output);
    let lines: Vec<_> = printed.lines().collect();
    let start = ["id         1", "title      Buy milk", "state      completed", "revision   2"];
    assert_eq!(lines[..4], start);
    for (line, name) in lines[4..].iter().zip(["created  ", "updated  ", "completed"]) {
        assert!(line.starts_with(&format!("{name}  2")) && line.ends_with(" +02:00"), "{printed}");
    }
    assert_eq!(lines.len(), 7);
}

#[test]
fn the_environment_names_the_server() {
    let (_server, address) = server();
    let mut command = Command::new(PROGRAM);
    command.args(["add", "x"]).env("TODO_SERVER", &address);
    assert_eq!(seen(&command.output().unwrap()), "1 x\n");
}

#[test]
fn help_version_and_completions_go_to_stdout() {
    for args in
        [&["--help"][..], &["help"], &["help", "add"], &["--version"], &["completions", "bash"]]
    {
        let output = todo("127.0.0.1:1", args).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert_eq!(output.stderr, b"", "{args:?}");
        assert!(String::from_utf8(output.stdout).unwrap().contains("todo"), "{args:?}");
    }
}

#[test]
fn help_shows_the_options_of_the_command_before_the_global_ones() {
    let output = todo("127.0.0.1:1", &["help", "watch"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let (own, global) = help.split_once("\nGlobal options:\n").unwrap();
    let options = |text: &str| -> Vec<String> {
        let words = text.lines().filter_map(|line| line.trim_start().split(' ').next());
        words.filter(|word| word.starts_with('-')).map(str::to_owned).collect()
    };
    let expected = [
        "--open",
        "--completed",
        "--deleted",
        "--all",
        "--from",
        "--snapshot",
        "--until-revision",
        "--state",
        "--count",
        "-h,",
    ];
    assert_eq!(options(own), expected);
    assert_eq!(options(global), ["--server", "--json", "--timeout"]);
    assert!(own.contains("the tasks that --snapshot prints are not counted"), "{own}");
}

#[test]
fn commands_with_the_examples_server() {
    let example = ExampleServer::start();
    let watch = Watching::start(&example.address, &[]);
    session(
        &example.address,
        &[
            "list",
            "add Buy milk",
            "add -- \u{1b}]0;gotcha\u{7}\u{202e}",
            "done 1 7",
            "done 2 --json",
            "list",
            "list --open",
            "list --completed",
            "list --deleted",
            "show 1",
            "reopen 1",
            "edit 1 x",
            "rm 1",
            "restore 1",
            "add deny",
        ],
        &expect![[r#"
            $ todo list
            ! todo: no tasks
            $ todo add Buy milk
            1 Buy milk
            $ todo add -- \u{1b}]0;gotcha\u{7}\u{202e}
            2 \u{1b}]0;gotcha\u{7}\u{202e}
            $ todo done 1 7
            completed 1 Buy milk
            ! todo: 7: Task not found
            exit 3
            $ todo done 2 --json
            {"id":2,"title":"\u001b]0;gotcha\u0007\u202e","completed":true,"revision":"0","deleted":false}
            $ todo list
                ID  STATE      TITLE
                 1  completed  Buy milk
                 2  completed  \u{1b}]0;gotcha\u{7}\u{202e}
            $ todo list --open
            ! todo: no tasks
            $ todo list --completed
                ID  STATE      TITLE
                 1  completed  Buy milk
                 2  completed  \u{1b}]0;gotcha\u{7}\u{202e}
            $ todo list --deleted
            ! todo: the server at SERVER keeps no deleted tasks: use todod
            exit 1
            $ todo show 1
            ! todo: 1: the server at SERVER does not have GetTask: use todod
            exit 1
            $ todo reopen 1
            ! todo: 1: the server at SERVER does not have ReopenTask: use todod
            exit 1
            $ todo edit 1 x
            ! todo: 1: the server at SERVER does not have UpdateTask: use todod
            exit 1
            $ todo rm 1
            ! todo: 1: the server at SERVER does not have DeleteTask: use todod
            exit 1
            $ todo restore 1
            ! todo: 1: the server at SERVER does not have RestoreTask: use todod
            exit 1
            $ todo add deny
            ! todo: SERVER answered AddTask with PERMISSION_DENIED
            exit 5
        "#]],
    );
    assert_eq!(watch.line(), "- ADDED 1 Buy milk");
    assert_eq!(watch.line(), r"- ADDED 2 \u{1b}]0;gotcha\u{7}\u{202e}");
    assert_eq!(watch.line(), "- COMPLETED 1 Buy milk");
}
