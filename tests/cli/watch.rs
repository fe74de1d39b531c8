//! `todo watch`, and Ctrl-C.

use std::io::{BufRead, BufReader, Lines, Read};
use std::process::{Child, ChildStderr, ChildStdout, Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::seed_server::SeedServer;
use crate::{seen, server, todo};

/// A `todo watch` that is registered.
pub struct Watching {
    pub child: Child,
    pub lines: Lines<BufReader<ChildStdout>>,
    messages: BufReader<ChildStderr>,
}

impl Watching {
    pub fn start(address: &str, args: &[&str]) -> Watching {
        let mut child = todo(address, &["watch"]).args(args).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut messages = BufReader::new(child.stderr.take().unwrap());
        let mut first = String::new();
        messages.read_line(&mut first).unwrap();
        assert_eq!(first, format!("watching {address}\n"));
        Watching { child, lines, messages }
    }

    pub fn line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }

    /// What it still said, and how it ended.
    pub fn end(mut self) -> String {
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
