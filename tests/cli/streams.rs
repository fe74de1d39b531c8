//! Standard input and output: lines, JSON, closed pipes.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use expect_test::expect;
use serde_json::Value;

use crate::watch::Watching;
use crate::{seen, server, server_with_tasks_max, todo, with_input};

#[test]
fn json_is_one_object_per_line() {
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
    assert!(done[0]["completedAt"].is_string(), "{done:?}");
    assert_eq!(json(&["show", "1"]), done[..1]);
    assert_eq!(json(&["list"]), done);
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
        ! todo: line 5: a title cannot contain the control or direction character U+001B (at character 5): remove it
        ! todo: line 6: not UTF-8: convert the text, for example with iconv
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
    let output = with_input(todo(&address, &["add", "-", "--timeout=300ms"]), b"\n\xff\nx\ny\n");
    let printed = seen(&output);
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(lines[0], "! todo: line 2: not UTF-8: convert the text, for example with iconv");
    assert!(lines[1].starts_with("! todo: line 3: cannot reach "), "{printed}");
    assert_eq!(lines[2..], ["! todo: stopped before line 4", "exit 4"], "{printed}");
}

#[test]
fn a_byte_order_mark_is_not_part_of_the_text() {
    let (_server, address) = server();
    let output = with_input(todo(&address, &["add", "-"]), b"\xef\xbb\xbfBuy milk\nSweep\n");
    assert_eq!(seen(&output), "1 Buy milk\n2 Sweep\n");
    let output = with_input(todo(&address, &[]), b"\xef\xbb\xbfdone 1\nadd x\n");
    assert_eq!(seen(&output), "completed 1 Buy milk\n3 x\n");
}

/// Many lines, of which some are rejected: the others are added in order, and each message
/// comes after the output of the lines before it.
#[test]
fn many_lines_keep_their_order() {
    let (_server, address) = server_with_tasks_max(5_000);
    let mut input = String::new();
    let mut expected = String::new();
    let mut id = 0;
    for line in 1..=2_000 {
        match line % 100 {
            0 => input += "bad \x1b title\n",
            7 => input += "\n",
            _ => {
                id += 1;
                input += &format!("task {line}\n");
                expected += &format!("{id} task {line}\n");
            }
        }
    }
    let output = with_input(todo(&address, &["add", "-"]), input.as_bytes());
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    let messages = String::from_utf8(output.stderr).unwrap();
    let lines = messages.lines().map(|message| message.split(": ").nth(1).unwrap());
    let expected: Vec<_> = (1..=20).map(|n| format!("line {}", 100 * n)).collect();
    assert_eq!(lines.collect::<Vec<_>>(), expected);
}

/// A program that writes one line after another sees each answer before it writes the next.
#[test]
fn a_line_is_added_before_the_next_one_is_written() {
    let (_server, address) = server();
    let mut child = todo(&address, &["add", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    for (number, input) in ["a\nb\n", "c\n", "d\nhalf a ", "line\n"].into_iter().enumerate() {
        stdin.write_all(input.as_bytes()).unwrap();
        let added = ["1 a\n2 b\n", "3 c\n", "4 d\n", "5 half a line\n"][number];
        for expected in added.lines() {
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
            assert_eq!(line.trim_end(), expected);
        }
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn piped_commands() {
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
    let printed = seen(&output);
    let (json, rest): (Vec<_>, Vec<_>) = printed.lines().partition(|line| line.starts_with('{'));
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
        ! Usage: COMMAND [ARGUMENTS]
        !
        ! For more information, try '--help'.
        ! todo: `add -` reads titles from a pipe: run `todo add -` in a shell
        ! error: unrecognized subcommand '1'
        !
        ! Usage: COMMAND [ARGUMENTS]
        !
        ! For more information, try '--help'.
        ! error: unrecognized subcommand 'nonsense'
        !
        ! Usage: COMMAND [ARGUMENTS]
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

/// The usage line of an error is that of the help.
#[test]
fn piped_usage_errors_show_the_usage_of_the_command() {
    let output = with_input(todo("127.0.0.1:1", &[]), b"show\nlist --open --all\n");
    expect![[r#"
        ! error: the following required arguments were not provided:
        !   <ID>
        !
        ! Usage: show [OPTIONS] <ID>
        !
        ! For more information, try '--help'.
        ! error: the argument '--open' cannot be used with '--all'
        !
        ! Usage: list [OPTIONS]
        !
        ! For more information, try '--help'.
        exit 2
    "#]]
    .assert_eq(&seen(&output));
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
    let watch = Watching::start_unread(&address);
    todo(&address, &["add", "z"]).status().unwrap();
    assert_eq!(watch.end(), "");
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
