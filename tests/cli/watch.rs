//! `todo watch`, and Ctrl-C.

use std::io::{BufRead, BufReader, Lines, Read};
use std::process::{Child, ChildStderr, ChildStdout, Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::seed_server::SeedServer;
use crate::{seen, server, todo};

/// A `todo watch` that is registered, or a `todo wait` that waits.
pub struct Watching {
    child: Child,
    /// `None` once closed.
    lines: Option<Lines<BufReader<ChildStdout>>>,
    messages: BufReader<ChildStderr>,
}

impl Watching {
    pub fn start(address: &str, args: &[&str]) -> Watching {
        let mut watching = Watching::spawn(todo(address, &["watch"]).args(args));
        assert_eq!(watching.message(), format!("watching {address}"));
        watching
    }

    pub fn spawn(command: &mut Command) -> Watching {
        let mut child = command.spawn().unwrap();
        let lines = Some(BufReader::new(child.stdout.take().unwrap()).lines());
        let messages = BufReader::new(child.stderr.take().unwrap());
        Watching { child, lines, messages }
    }

    pub fn line(&mut self) -> String {
        self.lines.as_mut().unwrap().next().unwrap().unwrap()
    }

    pub fn message(&mut self) -> String {
        let mut message = String::new();
        self.messages.read_line(&mut message).unwrap();
        message.trim_end().to_owned()
    }

    /// The reader of its lines goes away.
    pub fn close(&mut self) {
        self.lines = None;
    }

    pub fn interrupt(&self) {
        interrupt(&self.child);
    }

    /// Ends it as nothing can withstand. What it printed before and nobody read yet.
    pub fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.lines.take().unwrap().map_while(Result::ok).collect()
    }

    /// What it still said, and how it ended.
    pub fn end(mut self) -> String {
        let mut stderr = Vec::new();
        self.messages.read_to_end(&mut stderr).unwrap();
        let lines = self.lines.take().into_iter().flatten();
        let stdout = lines.map(|line| line.unwrap() + "\n").collect::<String>().into_bytes();
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

#[test]
fn watch_prints_changes_as_they_come() {
    let (_server, address) = server();
    todo(&address, &["add", "before"]).status().unwrap();
    let mut all = Watching::start(&address, &[]);
    let two = Watching::start(&address, &["--count", "2"]);
    let completed = Watching::start(&address, &["--completed", "--count=1"]);
    let mut json = Watching::start(&address, &["--json", "--count=1"]);
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
    let seed = SeedServer::start();
    let watch = Watching::start(&address, &[]);
    watch.interrupt();
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
