//! `todo` as a command for the shell, and with commands piped in.

#![allow(clippy::unwrap_used)]

mod seed_server;

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use expect_test::{Expect, expect};
use seed_server::SeedServer;
use serde_json::Value;
use todo::server::Server;
use todo::state::Limits;
use todo::store::MemoryStore;

const TODO: &str = env!("CARGO_BIN_EXE_todo");

fn server() -> (Server, String) {
    let limits = Limits { tasks_max: 8, queue_max: 100, watch_queue_max: 100 };
    let store = Box::new(MemoryStore::new("test-list"));
    let server = Server::start(store, limits, &["127.0.0.1:0".parse().unwrap()]).unwrap();
    let address = server.addresses()[0].to_string();
    (server, address)
}

/// `todo` with nothing of the caller's environment that it looks at. The timeout is no
/// measure of speed.
fn todo(address: &str, args: &[&str]) -> Command {
    let mut command = Command::new(TODO);
    command.args(["--server", address, "--timeout", "60s"]).args(args);
    command.env_remove("TODO_SERVER").env_remove("NO_COLOR").env("TZ", "UTC");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn with_input(mut command: Command, input: &[u8]) -> Output {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

/// Data, messages and exit code, as somebody at a shell sees them.
fn seen(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let messages = text(&output.stderr);
    let messages: String =
        messages.lines().map(|line| format!("! {line}").trim_end().to_owned() + "\n").collect();
    let code = match output.status.code() {
        Some(0) => String::new(),
        other => format!("exit {}\n", other.unwrap()),
    };
    format!("{}{messages}{code}", text(&output.stdout))
}

/// Runs each line as a command, split at white space.
fn story(address: &str, lines: &[&str], expected: &Expect) {
    let mut told = String::new();
    for line in lines {
        let args: Vec<&str> = line.split_whitespace().collect();
        let output = todo(address, &args).output().unwrap();
        told += &format!(
            "$ todo {}\n{}",
            line.escape_debug(),
            seen(&output).replace(address, "SERVER")
        );
    }
    expected.assert_eq(&told);
}

#[test]
fn every_command() {
    let (_server, address) = server();
    story(
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
            completed 1 Buy milk
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
            ! todo: 1: a title cannot hold the control character U+202E (at character 1): remove it
            exit 4
            $ todo add -- \u{1b}[31m
            ! todo: a title cannot hold the control character U+001B (at character 1): remove it
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
        "done 0",
        "done -1",
        "show",
        "show 1 2",
        "edit 1",
        "list --open --completed",
        "list all",
        "watch --count 0",
        "completions cobol",
        "--timeout 0s list",
        "--timeout 5 list",
        "--timeout -5s list",
        "--timeout 9999999999h list",
        "--server= list",
    ] {
        let args: Vec<&str> = line.split_whitespace().collect();
        let output = Command::new(TODO).args(args).stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{line}: {}", seen(&output));
        assert_eq!(output.stdout, b"", "{line}");
        assert_ne!(output.stderr, b"", "{line}");
    }
}

#[test]
fn a_server_that_is_not_there_is_exit_code_6() {
    let (server, address) = server();
    server.shutdown().unwrap();
    for line in ["list", "add x", "done 1", "show 1", "watch"] {
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

#[test]
fn the_server_comes_from_the_environment_too() {
    let (_server, address) = server();
    let mut command = Command::new(TODO);
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
fn json_is_one_object_a_line() {
    let (_server, address) = server();
    let json = |args: &[&str]| -> Vec<Value> {
        let output = todo(&address, args).arg("--json").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", seen(&output));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    assert_eq!(json(&["list"]), [] as [Value; 0]);
    let added = &json(&["add", "Buy milk"])[0];
    assert_eq!((&added["id"], &added["title"]), (&Value::from(1), &Value::from("Buy milk")));
    // 64-bit numbers are strings in the proto3 JSON mapping.
    assert_eq!((&added["revision"], &added["completed"]), (&Value::from("1"), &Value::from(false)));
    json(&["add", "Sweep"]);
    let done = json(&["done", "1", "2"]);
    assert!(done.iter().all(|task| task["completed"] == true), "{done:?}");
    assert!(done[0]["completed_at"].is_string(), "{done:?}");
    assert_eq!(json(&["show", "1"]), done[..1]);
    assert_eq!(json(&["list"]), done);
}

#[test]
fn show_tells_all_in_local_time() {
    let (_server, address) = server();
    todo(&address, &["add", "Buy milk"]).status().unwrap();
    todo(&address, &["done", "1"]).status().unwrap();
    // Two hours east of Greenwich, for a C library and for jiff.
    let output = todo(&address, &["show", "1"]).env("TZ", "<+02>-2").output().unwrap();
    let told = seen(&output);
    let lines: Vec<_> = told.lines().collect();
    let start = ["id         1", "title      Buy milk", "state      completed", "revision   2"];
    assert_eq!(lines[..4], start);
    for (line, name) in lines[4..].iter().zip(["created  ", "updated  ", "completed"]) {
        assert!(line.starts_with(&format!("{name}  2")) && line.ends_with(" +02:00"), "{told}");
    }
    assert_eq!(lines.len(), 7);
}

#[test]
fn add_reads_titles_from_stdin() {
    let (_server, address) = server();
    let input = b"Buy milk\n\n  \t\n  Don't \"forget\"  \r\nbad \x1b title\nnot \xff utf8\nlast";
    let output = with_input(todo(&address, &["add", "-"]), input);
    expect![[r#"
        1 Buy milk
        2 Don't "forget"
        3 last
        ! todo: line 5: a title cannot hold the control character U+001B (at character 5): remove it
        ! todo: line 6: it is not UTF-8
        exit 4
    "#]]
    .assert_eq(&seen(&output));
    let output = with_input(todo(&address, &["add", "-q", "-"]), b"x\ny\n");
    assert_eq!(seen(&output), "4\n5\n");
    assert_eq!(seen(&with_input(todo(&address, &["add", "-"]), b"")), "");
}

#[test]
fn add_stops_at_the_line_that_finds_no_server() {
    let (server, address) = server();
    server.shutdown().unwrap();
    let output = with_input(todo(&address, &["add", "-"]), b"\n\xff\nx\ny\n");
    let told = seen(&output);
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines[0], "! todo: line 2: it is not UTF-8");
    assert!(lines[1].starts_with("! todo: line 3: cannot reach "), "{told}");
    assert_eq!(lines[2..], ["! todo: stopped before line 4", "exit 4"], "{told}");
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let (_server, address) = server();
    todo(&address, &["add", "x"]).status().unwrap();
    for args in [&["list"][..], &["list", "--json"], &["completions", "bash"], &["add", "y"]] {
        let mut child = todo(&address, args).stdin(Stdio::null()).spawn().unwrap();
        drop(child.stdout.take());
        assert_eq!(seen(&child.wait_with_output().unwrap()), "", "{args:?}");
    }
    let mut watch = Watching::start(&address, &[]);
    drop(watch.lines);
    todo(&address, &["add", "z"]).status().unwrap();
    assert_eq!(watch.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_full_disk_is_a_failure() {
    let (_server, address) = server();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = todo(&address, &["completions", "bash"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.starts_with("todo: cannot write the output: "), "{message}");
}

#[test]
fn a_pipe_gets_no_colour() {
    let (_server, address) = server();
    todo(&address, &["add", "x"]).status().unwrap();
    todo(&address, &["done", "1"]).status().unwrap();
    for args in [&["list"][..], &["show", "1"], &["done", "x"], &["help"]] {
        let output = todo(&address, args).output().unwrap();
        assert!(!seen(&output).contains('\u{1b}'), "{args:?}");
    }
}

/// A `todo watch` that is registered.
struct Watching {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    messages: BufReader<ChildStderr>,
}

impl Watching {
    fn start(address: &str, args: &[&str]) -> Watching {
        let mut child = todo(address, &["watch"]).args(args).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut messages = BufReader::new(child.stderr.take().unwrap());
        let mut first = String::new();
        messages.read_line(&mut first).unwrap();
        assert_eq!(first, format!("watching {address}\n"));
        Watching { child, lines, messages }
    }

    fn line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }

    /// What it still said, and how it ended.
    fn end(mut self) -> String {
        let mut stderr = Vec::new();
        self.messages.read_to_end(&mut stderr).unwrap();
        let stdout = self.lines.map(|line| line.unwrap() + "\n").collect::<String>().into_bytes();
        let status = self.child.wait().unwrap();
        seen(&Output { status, stdout, stderr })
    }
}

#[test]
fn watch_prints_changes_as_they_come() {
    let (server, address) = server();
    todo(&address, &["add", "before"]).status().unwrap();
    let mut all = Watching::start(&address, &[]);
    let two = Watching::start(&address, &["--count", "2"]);
    let mut json = Watching::start(&address, &["--json", "--count=1"]);
    todo(&address, &["add", "Buy milk"]).status().unwrap();
    assert_eq!(all.line(), "2 ADDED 2 Buy milk");
    let update: Value = serde_json::from_str(&json.line()).unwrap();
    assert_eq!((&update["action"], &update["task"]["id"]), (&"ADDED".into(), &2.into()));
    assert_eq!(json.end(), "");
    todo(&address, &["done", "2"]).status().unwrap();
    assert_eq!(all.line(), "3 COMPLETED 2 Buy milk");
    assert_eq!(two.end(), "2 ADDED 2 Buy milk\n3 COMPLETED 2 Buy milk\n");
    server.shutdown().unwrap();
    let end = all.end();
    assert!(end.starts_with("! todo: the watch ended: "), "{end}");
    assert!(end.ends_with("\nexit 6\n"), "{end}");
}

#[test]
fn ctrl_c_is_exit_code_130() {
    let (_server, address) = server();
    let seed = SeedServer::start();
    let watch = Watching::start(&address, &[]);
    interrupt(&watch.child);
    assert_eq!(watch.end(), "exit 130\n");
    // A call that waits, too.
    let mut waits = todo(&seed.address, &["add", "silence"]).spawn().unwrap();
    seed.silences.recv_timeout(Duration::from_secs(60)).unwrap();
    interrupt(&waits);
    assert_eq!(waits.wait().unwrap().code(), Some(130));
}

fn interrupt(child: &Child) {
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
}

#[test]
fn the_seeds_server_does_what_it_can() {
    let seed = SeedServer::start();
    let mut watch = Watching::start(&seed.address, &[]);
    story(
        &seed.address,
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
            {"id": 2, "title": "\u001b]0;gotcha\u0007\u202e", "completed": true, "revision": "0", "deleted": false}
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
            ! todo: the server at SERVER keeps no deleted tasks: it needs todod
            exit 1
            $ todo show 1
            ! todo: 1: the server at SERVER does not offer GetTask: it needs todod
            exit 1
            $ todo reopen 1
            ! todo: 1: the server at SERVER does not offer ReopenTask: it needs todod
            exit 1
            $ todo edit 1 x
            ! todo: 1: the server at SERVER does not offer UpdateTask: it needs todod
            exit 1
            $ todo rm 1
            ! todo: 1: the server at SERVER does not offer DeleteTask: it needs todod
            exit 1
            $ todo restore 1
            ! todo: 1: the server at SERVER does not offer RestoreTask: it needs todod
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

#[test]
fn commands_piped_in() {
    let (_server, address) = server();
    let input = "\
add Don't  \"forget\"
add -q two

  list
done 1 99
nonsense
add -
edit 2 -x  y
list --json --open
1
help nonsense
quit
add never
";
    let output = with_input(todo(&address, &[]), input.as_bytes());
    let told = seen(&output);
    let (json, rest): (Vec<_>, Vec<_>) = told.lines().partition(|line| line.starts_with('{'));
    expect![[r#"
        1 Don't  "forget"
        2 -q two
            ID  STATE      TITLE
             1  open       Don't  "forget"
             2  open       -q two
        completed 1 Don't  "forget"
        changed 2 -x  y
        ! todo: 99: Task not found
        ! error: unrecognized subcommand 'nonsense'
        !
        ! Usage: COMMAND [ARGUMENTS], as help lists them
        !
        ! For more information, try '--help'.
        ! todo: `add -` reads titles from a pipe: use it in the shell, todo add -
        ! error: unrecognized subcommand '1'
        !
        ! Usage: COMMAND [ARGUMENTS], as help lists them
        !
        ! For more information, try '--help'.
        ! error: unrecognized subcommand 'nonsense'
        !
        ! Usage: COMMAND [ARGUMENTS], as help lists them
        !
        ! For more information, try '--help'.
        exit 3"#]]
    .assert_eq(&rest.join("\n"));
    let listed: Value = serde_json::from_str(json[0]).unwrap();
    assert_eq!((json.len(), &listed["title"]), (1, &Value::from("-x  y")));
    let bad_then_good = b"\xff\nadd good\n";
    let output = with_input(todo(&address, &["--json"]), bad_then_good);
    assert_eq!(output.status.code(), Some(4));
    let added: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(added["title"], "good");
    assert_eq!(seen(&with_input(todo(&address, &[]), b"")), "");
}
