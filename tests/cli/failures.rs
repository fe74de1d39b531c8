//! Exit codes, and the sentences that go with them.

use std::process::{Command, Stdio};

use expect_test::expect;

use crate::seed_server::SeedServer;
use crate::{PROGRAM, seen, server, story, todo};

#[test]
fn every_exit_code_that_the_server_can_cause() {
    let (_server, address) = server();
    story(
        &address,
        &[
            "add a",
            "add b",
            "rm 2",
            "done 1 7 2",
            "done 2 7 1",
            "show 7",
            "edit 2 c",
            "edit 1 \u{202e}x",
            "add -- \u{1b}[31m",
        ],
        &expect![[r#"
            $ todo add a
            1 a
            $ todo add b
            2 b
            $ todo rm 2
            deleted 2 b
            $ todo done 1 7 2
            completed 1 a
            ! todo: 7: Task not found
            ! todo: 2: task 2 is deleted: restore it first
            exit 3
            $ todo done 2 7 1
            completed 1 a
            ! todo: 2: task 2 is deleted: restore it first
            ! todo: 7: Task not found
            exit 4
            $ todo show 7
            ! todo: 7: Task not found
            exit 3
            $ todo edit 2 c
            ! todo: 2: task 2 is deleted: restore it first
            exit 4
            $ todo edit 1 \u{202e}x
            ! todo: 1: a title cannot hold the control or direction character U+202E (at character 1): remove it
            exit 4
            $ todo add -- \u{1b}[31m
            ! todo: a title cannot hold the control or direction character U+001B (at character 1): remove it
            exit 4
        "#]],
    );
    let long = "x".repeat(1025);
    assert_eq!(todo(&address, &["add", &long]).status().unwrap().code(), Some(4));
    for n in 3..=8 {
        assert!(todo(&address, &["add", &n.to_string()]).status().unwrap().success());
    }
    story(
        &address,
        &["add one too many"],
        &expect![[r#"
        $ todo add one too many
        ! todo: the list holds its 8 tasks, deleted ones counted: raise --tasks-max
        exit 4
    "#]],
    );
}

#[test]
fn what_is_no_command_is_exit_code_2() {
    // No server is needed to say so.
    for line in [
        "nonsense",
        "add",
        "done",
        "done x",
        "done 99999999999",
        "show",
        "show 1 2",
        "edit 1",
        "list --open --completed",
        "list all",
        "watch --count 0",
        "watch --from -1",
        "watch --state",
        "watch --open --completed",
        "list --at x",
        "wait",
        "wait 1 --deleted --completed",
        "wait 1 --timeout 0s",
        "history x",
        "history 1 2",
        "completions cobol",
        "--timeout 0s list",
        "--timeout 5 list",
        "--timeout -5s list",
        "--timeout 9999999999h list",
        "--server= list",
    ] {
        let args: Vec<&str> = line.split_whitespace().collect();
        let output = Command::new(PROGRAM).args(args).stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{line}: {}", seen(&output));
        assert_eq!(output.stdout, b"", "{line}");
        assert_ne!(output.stderr, b"", "{line}");
    }
}

#[test]
fn a_server_that_is_not_there_is_exit_code_6() {
    let (server, address) = server();
    server.shutdown().unwrap();
    for line in
        ["list", "add x", "done 1", "show 1", "watch", "watch --snapshot", "wait 1", "history"]
    {
        let args: Vec<&str> = line.split_whitespace().collect();
        let output = todo(&address, &args).output().unwrap();
        assert_eq!(output.status.code(), Some(6), "{line}: {}", seen(&output));
        let message = String::from_utf8(output.stderr).unwrap();
        let about = if line == "done 1" || line == "show 1" { "1: " } else { "" };
        let start = format!("todo: {about}cannot reach {address}: ");
        assert!(message.starts_with(&start), "{line}: {message}");
    }
}

#[test]
fn a_server_that_does_not_answer_is_exit_code_6() {
    let seed = SeedServer::start();
    let output = todo(&seed.address, &["add", "silence", "--timeout", "50ms"]).output().unwrap();
    assert_eq!(
        seen(&output).replace(&seed.address, "SERVER"),
        "! todo: SERVER did not answer AddTask in time: see --timeout\nexit 6\n"
    );
}
