//! Commands that change the list while the server restarts.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use todo::client::{Client, Edit};

use crate::daemon::Daemon;
use crate::{client, seen, todo, with_input};

/// A socket without a server refuses the connection, as during a restart: the first attempt
/// of each command fails before the server starts.
#[test]
fn a_command_waits_for_a_server_that_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    let address = daemon.address.clone();
    for title in ["a", "b"] {
        client(&address).add(title).unwrap();
    }
    client(&address).edit(2, Edit::Delete).unwrap();
    daemon.kill();
    let commands = ["add c", "done 1", "restore 2"].map(|line| {
        let args: Vec<_> = line.split(' ').collect();
        todo(&address, &args).spawn().unwrap()
    });
    // By now the first attempts have failed, or these fail in vain.
    let why = Client::new(&address, Duration::from_millis(200)).unwrap().add("x").unwrap_err();
    assert!(why.message.starts_with("cannot reach "), "{why}");
    let _daemon = Daemon::start(dir.path());
    let outputs = commands.map(|child| seen(&child.wait_with_output().unwrap()));
    assert!(outputs[0].ends_with(" c\n"), "{outputs:?}");
    assert_eq!(outputs[1..], ["completed 1 a\n", "restored 2 b\n"]);
}

/// The server is killed after each line, and starts after the next one was written.
#[test]
fn a_piped_line_waits_for_a_server_that_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let address = format!("unix:{}", dir.path().join("todo.sock").display());
    let mut child = todo(&address, &["add", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut added = BufReader::new(child.stdout.take().unwrap()).lines();
    for number in 1..=4 {
        writeln!(stdin, "task {number}").unwrap();
        let daemon = Daemon::start(dir.path());
        assert_eq!(added.next().unwrap().unwrap(), format!("{number} task {number}"));
        daemon.kill();
    }
    drop(stdin);
    assert_eq!(seen(&child.wait_with_output().unwrap()), "");
}

/// The server is killed again and again while lines are added: each line is added once, in
/// order, and no message appears.
#[test]
fn piped_lines_survive_restarts() {
    const LINES: usize = 600;
    const ROUNDS: usize = 6;
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(dir.path());
    let address = daemon.address.clone();
    let mut child = todo(&address, &["add", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = thread::spawn(move || {
        for number in 1..=LINES {
            writeln!(stdin, "task {number}").unwrap();
        }
    });
    let mut added = BufReader::new(child.stdout.take().unwrap()).lines();
    for number in 1..=LINES {
        assert_eq!(added.next().unwrap().unwrap(), format!("{number} task {number}"));
        if number % (LINES / ROUNDS) == LINES / ROUNDS / 2 {
            daemon.kill();
            daemon = Daemon::start(dir.path());
        }
    }
    writer.join().unwrap();
    assert_eq!(seen(&child.wait_with_output().unwrap()), "");
    let listed: Vec<_> = client(&address)
        .pages(todo::client::proto::Filter::ANY)
        .flat_map(Result::unwrap)
        .map(|task| (task.id as usize, task.title))
        .collect();
    let expected: Vec<_> = (1..=LINES).map(|id| (id, format!("task {id}"))).collect();
    assert_eq!(listed, expected);
}

/// A server that never comes back: each line that was sent has its message.
#[test]
fn piped_lines_end_with_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    let address = daemon.address.clone();
    let mut command = todo(&address, &["add", "-", "--timeout=2s"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdin.write_all(b"a\nb\nc\n").unwrap();
    for expected in ["1 a\n", "2 b\n", "3 c\n"] {
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, expected);
    }
    daemon.kill();
    // It stops reading at some line.
    let _ = stdin.write_all(b"d\ne\nf\n");
    drop(stdin);
    let printed = seen(&child.wait_with_output().unwrap());
    let messages: Vec<_> = printed.lines().collect();
    let (failed, end) = messages.split_at(messages.len() - 2);
    for (number, message) in (4..).zip(failed) {
        assert!(message.starts_with(&format!("! todo: line {number}: cannot reach ")), "{printed}");
    }
    assert!(!failed.is_empty(), "{printed}");
    let stopped = format!("! todo: stopped before line {}", 4 + failed.len());
    assert_eq!(end, [&*stopped, "exit 6"], "{printed}");
}

/// A port that accepts connections and never answers is not a restart: the time limit holds.
#[test]
fn the_time_limit_holds() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let output = with_input(todo(&address, &["add", "-", "--timeout=300ms"]), b"x\n");
    let printed = seen(&output);
    assert!(printed.ends_with("! todo: stopped before line 2\nexit 6\n"), "{printed}");
}
