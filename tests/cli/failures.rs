//! Exit codes and their messages.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use expect_test::expect;

use crate::example_server::ExampleServer;
use crate::{PROGRAM, seen, server, session, todo};

#[test]
fn every_exit_code_that_the_server_can_cause() {
    let (_server, address) = server();
    session(
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
            already completed 1 a
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
            ! todo: 1: a title cannot contain the control or direction character U+202E (at character 1): remove it
            exit 4
            $ todo add -- \u{1b}[31m
            ! todo: a title cannot contain the control or direction character U+001B (at character 1): remove it
            exit 4
        "#]],
    );
    let long = "x".repeat(1025);
    assert_eq!(todo(&address, &["add", &long]).status().unwrap().code(), Some(4));
    for n in 3..=8 {
        assert!(todo(&address, &["add", &n.to_string()]).status().unwrap().success());
    }
    session(
        &address,
        &["add one too many"],
        &expect![[r#"
            $ todo add one too many
            ! todo: the list is at its limit of 8 tasks, deleted ones included: purge deleted tasks or raise --tasks-max
            exit 4
        "#]],
    );
}

#[test]
fn a_usage_error_is_exit_code_2() {
    // There is no server.
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

/// An option that the environment sets must not look required.
#[test]
fn usage_lines_show_what_the_command_needs() {
    for (program, variable, args, usage) in [
        (PROGRAM, "TODO_SERVER", &["show"][..], "Usage: todo show [OPTIONS] <ID>"),
        (PROGRAM, "TODO_SERVER", &["list", "--open", "--all"], "Usage: todo list [OPTIONS]"),
        (PROGRAM, "TODO_SERVER", &["nonsense"], "Usage: todo [OPTIONS] [COMMAND]"),
        (PROGRAM, "", &["--server", "a:1", "show"], "Usage: todo show [OPTIONS] <ID>"),
        (
            env!("CARGO_BIN_EXE_todod"),
            "TODO_LISTEN",
            &["check"],
            "Usage: todod check [OPTIONS] <PATH>",
        ),
        (
            env!("CARGO_BIN_EXE_todod"),
            "TODO_LISTEN",
            &["--nonsense"],
            "Usage: todod [OPTIONS]\n       todod <COMMAND>",
        ),
    ] {
        let mut command = Command::new(program);
        command.args(args).env_remove("TODO_SERVER");
        if !variable.is_empty() {
            command.env(variable, "127.0.0.1:1");
        }
        let message = String::from_utf8(command.output().unwrap().stderr).unwrap();
        assert!(message.contains(&format!("\n{usage}\n")), "{args:?}: {message}");
    }
}

#[test]
fn an_unreachable_server_is_exit_code_6() {
    let (server, address) = server();
    server.shutdown().unwrap();
    for line in
        ["list", "add x", "done 1", "show 1", "watch", "watch --snapshot", "wait 1", "history"]
    {
        let mut args: Vec<&str> = line.split_whitespace().collect();
        if line == "add x" || line == "done 1" {
            // They try for so long: the server may be restarting.
            args.push("--timeout=300ms");
        }
        let output = todo(&address, &args).output().unwrap();
        assert_eq!(output.status.code(), Some(6), "{line}: {}", seen(&output));
        let message = String::from_utf8(output.stderr).unwrap();
        let about = if line == "done 1" || line == "show 1" { "1: " } else { "" };
        let start = format!("todo: {about}cannot reach {address}: ");
        assert!(message.starts_with(&start), "{line}: {message}");
    }
}

#[test]
fn an_unknown_host_is_a_plain_sentence() {
    let output = todo("nowhere.invalid:1", &["list"]).output().unwrap();
    let message = seen(&output);
    assert!(!message.contains("DNS") && !message.contains("C-ares"), "{message}");
    assert!(message.contains("cannot reach nowhere.invalid:1: the "), "{message}");
    assert_eq!(output.status.code(), Some(6));
}

#[test]
fn a_server_that_does_not_answer_is_exit_code_6() {
    let example = ExampleServer::start();
    let output = todo(&example.address, &["add", "silence", "--timeout", "50ms"]).output().unwrap();
    assert_eq!(
        seen(&output).replace(&example.address, "SERVER"),
        "! todo: SERVER did not answer in time: raise --timeout\nexit 6\n"
    );
}

/// The output of a program that only prints something may be lost, and then it must not
/// report success. A stderr that cannot be written never changes how a program ends.
#[test]
fn output_that_cannot_be_written_is_exit_code_1() {
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let [todo, todod] = [PROGRAM, env!("CARGO_BIN_EXE_todod")];
    let mut programs = vec![todo, todod];
    programs.extend(option_env!("CARGO_BIN_EXE_todo-web"));
    for program in programs {
        for arg in ["--version", "--help"] {
            let output = Command::new(program).arg(arg).stdout(full()).output().unwrap();
            let name = program.rsplit('/').next().unwrap();
            let message = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{program} {arg}: {message}");
            let start = format!("{name}: cannot write the output: ");
            assert!(message.starts_with(&start), "{program} {arg}: {message}");
            let status = Command::new(program).arg(arg).stdout(full()).stderr(full()).status();
            assert_eq!(status.unwrap().code(), Some(1), "{program} {arg}");
            let mut unread = Command::new(program).arg(arg).stdout(Stdio::piped()).spawn().unwrap();
            drop(unread.stdout.take());
            assert_eq!(unread.wait().unwrap().code(), Some(0), "{program} {arg}: a closed pipe");
        }
        let status = Command::new(program).arg("--nonsense").stderr(full()).status();
        assert_eq!(status.unwrap().code(), Some(2), "{program}");
    }
    for (program, args) in [
        (todo, &["--server", "127.0.0.1:1", "list"][..]),
        (todod, &["--data-dir", "/proc/1/x"]),
        (todod, &["--store=memory", "--listen", "unix:/proc/1/x"]),
    ] {
        let status = Command::new(program).args(args).stderr(full()).status().unwrap();
        assert_eq!(status.code(), Some(if program == todo { 6 } else { 1 }), "{args:?}");
    }
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let variables = |program: &str| -> Vec<String> {
        let help = Command::new(program).arg("--help").output().unwrap().stdout;
        let help = String::from_utf8(help).unwrap();
        let parts = help.split("[env: ").skip(1).filter_map(|part| part.split('=').next());
        parts.map(str::to_owned).collect()
    };
    // Each program gets far enough to fail for another reason.
    for (program, args, failure) in [
        (PROGRAM, &["show", "1", "--server=127.0.0.1:1"][..], 6),
        (env!("CARGO_BIN_EXE_todod"), &["--data-dir=/proc/1/x"], 1),
    ] {
        let names = variables(program);
        assert!(!names.is_empty(), "{program} has no variables");
        let mut command = Command::new(program);
        command.args(args).envs(names.iter().map(|name| (name, "")));
        let output = command.env("RUST_LOG", "").output().unwrap();
        assert_eq!(output.status.code(), Some(failure), "{program}: {}", seen(&output));
    }
    let (_server, address) = server();
    let web =
        Command::new(PROGRAM).args(["web", "--server", &address]).env("TODO_WEB", "").output();
    assert_ne!(web.unwrap().status.code(), Some(2));
    let list = Command::new(PROGRAM).arg("list").env("TODO_SERVER", "").output().unwrap();
    assert_ne!(list.status.code(), Some(2), "{}", seen(&list));
    // The log is on as usual.
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_todod"))
        .args(["--store=memory", "--listen=127.0.0.1:0"])
        .env("RUST_LOG", "")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(daemon.stderr.take().unwrap()).read_line(&mut line).unwrap();
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    assert!(line.contains(" INFO "), "{line:?}");
}
