//! `todo watch`, and Ctrl-C.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Output};
use std::thread;

use crossbeam_channel::{Receiver, RecvTimeoutError, unbounded};
use serde_json::Value;

use crate::example_server::ExampleServer;
use crate::{DEADLINE, seen, server, todo};

/// A running `todo watch` or `todo wait`. Other threads read its output, so that a test that
/// waits for a line has a deadline.
pub struct Watching {
    child: Child,
    lines: Receiver<String>,
    messages: Receiver<String>,
}

impl Watching {
    pub fn start(address: &str, args: &[&str]) -> Watching {
        let watching = Watching::spawn(todo(address, &["watch"]).args(args));
        assert_eq!(watching.message(), format!("watching {address}"));
        watching
    }

    /// A watch whose output is a closed pipe.
    pub fn start_unread(address: &str) -> Watching {
        let mut child = todo(address, &["watch"]).spawn().unwrap();
        drop(child.stdout.take());
        let watching = Watching::of(child);
        assert_eq!(watching.message(), format!("watching {address}"));
        watching
    }

    pub fn spawn(command: &mut Command) -> Watching {
        Watching::of(command.spawn().unwrap())
    }

    fn of(mut child: Child) -> Watching {
        let lines = child.stdout.take().map_or_else(|| unbounded().1, lines_of);
        let messages = lines_of(child.stderr.take().unwrap());
        Watching { child, lines, messages }
    }

    pub fn line(&self) -> String {
        next(&self.lines).expect("a line, not its end")
    }

    pub fn message(&self) -> String {
        next(&self.messages).expect("a message, not its end").trim_end().to_owned()
    }

    pub fn interrupt(&self) {
        interrupt(&self.child);
    }

    /// Kills it. Returns what it printed and the test has not read yet.
    pub fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        std::iter::from_fn(|| next(&self.lines)).collect()
    }

    /// Waits for its end. Returns the rest of its output and its exit code.
    pub fn end(mut self) -> String {
        let rest = |said: &Receiver<String>| {
            let lines = std::iter::from_fn(|| next(said));
            lines.map(|line| line + "\n").collect::<String>().into_bytes()
        };
        let (stderr, stdout) = (rest(&self.messages), rest(&self.lines));
        let status = self.child.wait().unwrap();
        seen(&Output { status, stdout, stderr })
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines_of(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = unbounded();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines() {
            if sender.send(line.unwrap()).is_err() {
                return;
            }
        }
    });
    lines
}

/// Waits for the next line; `None` at the end.
fn next(lines: &Receiver<String>) -> Option<String> {
    match lines.recv_timeout(DEADLINE) {
        Ok(line) => Some(line),
        Err(RecvTimeoutError::Disconnected) => None,
        Err(RecvTimeoutError::Timeout) => panic!("no line within {DEADLINE:?}"),
    }
}

#[test]
fn watch_prints_changes_as_they_come() {
    let (_server, address) = server();
    todo(&address, &["add", "before"]).status().unwrap();
    let all = Watching::start(&address, &[]);
    let two = Watching::start(&address, &["--count", "2"]);
    let completed = Watching::start(&address, &["--completed", "--count=1"]);
    let json = Watching::start(&address, &["--json", "--count=1"]);
    todo(&address, &["add", "Buy milk"]).status().unwrap();
    assert_eq!(all.line(), "2 ADDED 2 Buy milk");
    let update: Value = serde_json::from_str(&json.line()).unwrap();
    assert_eq!((&update["action"], &update["task"]["id"]), (&"ADDED".into(), &2.into()));
    assert_eq!(json.end(), "");
    todo(&address, &["done", "2"]).status().unwrap();
    assert_eq!(all.line(), "3 COMPLETED 2 Buy milk");
    assert_eq!(two.end(), "2 ADDED 2 Buy milk\n3 COMPLETED 2 Buy milk\n");
    assert_eq!(completed.end(), "3 COMPLETED 2 Buy milk\n");
}

#[test]
fn ctrl_c_is_exit_code_130() {
    let (_server, address) = server();
    let example = ExampleServer::start();
    let watch = Watching::start(&address, &[]);
    watch.interrupt();
    assert_eq!(watch.end(), "exit 130\n");
    // During a call, too.
    let mut waits = todo(&example.address, &["add", "silence"]).spawn().unwrap();
    example.silences.recv_timeout(DEADLINE).unwrap();
    interrupt(&waits);
    assert_eq!(waits.wait().unwrap().code(), Some(130));
}

fn interrupt(child: &Child) {
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
}
