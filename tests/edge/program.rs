//! `todo-web` as a program, `todo web`, and what the README shows.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::daemon::Daemon;
use crate::harness::{TestServer, until};
use crate::http::{Connection, Events, get, post, request};

struct WebProgram {
    child: Child,
    address: SocketAddr,
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_todo-web"));
    command.args(args).stdin(Stdio::null());
    for name in ["TODO_SERVER", "TODO_WEB_LISTEN", "TODO_WEB_ALLOW_HOST"] {
        command.env_remove(name);
    }
    command
}

impl WebProgram {
    fn start(mut command: Command) -> WebProgram {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on http://").expect(&line);
        WebProgram { child, address: address.parse().unwrap() }
    }

    /// Asks it to end. Returns its exit code, and how long it took.
    fn end(mut self, signal: Signal) -> (Option<i32>, Duration) {
        let started = Instant::now();
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        (self.child.wait().unwrap().code(), started.elapsed())
    }
}

impl Drop for WebProgram {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn it_ends_in_order_within_five_seconds_whatever_is_open() {
    let server = TestServer::start();
    for signal in [Signal::TERM, Signal::INT] {
        let web =
            WebProgram::start(command(&["--listen", "127.0.0.1:0", "--server", &server.address]));
        let mut events = Events::open(web.address, "any");
        events.snapshot();
        let mut idle = Connection::open(web.address);
        idle.send("GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(idle.answer().status, 404);
        let mut half_open = Connection::open(web.address);
        half_open.send(
            "POST /todo.TodoService/AddTask HTTP/1.1\r\nHost: localhost\r\n\
             Content-Type: application/json\r\nContent-Length: 20\r\n\r\n{",
        );
        let (code, took) = web.end(signal);
        assert_eq!(code, Some(0));
        assert!(took < Duration::from_secs(5), "{took:?}");
        assert_eq!(events.next(), None, "its stream has an end, not a break");
    }
}

#[test]
fn options_and_environment_say_the_same() {
    let server = TestServer::start();
    let by_options = command(&[
        "--listen",
        "127.0.0.1:0",
        "--server",
        &server.address,
        "--allow-host",
        "a.example",
        "--allow-host",
        "b.example",
    ]);
    let mut by_environment = command(&[]);
    by_environment
        .env("TODO_WEB_LISTEN", "127.0.0.1:0")
        .env("TODO_SERVER", &server.address)
        .env("TODO_WEB_ALLOW_HOST", "a.example,b.example");
    for command in [by_options, by_environment] {
        let web = WebProgram::start(command);
        assert_eq!(post(web.address, "GetTasks", "{}").status, 200);
        for (host, status) in [("a.example", 200), ("b.example:80", 200), ("c.example", 403)] {
            assert_eq!(request(web.address, "GET /", &[("Host", host)], "").status, status);
        }
    }
}

fn refused(args: &[&str]) -> (Option<i32>, String) {
    let out = command(args).output().unwrap();
    assert_eq!(String::from_utf8(out.stdout).unwrap(), "");
    (out.status.code(), String::from_utf8(out.stderr).unwrap())
}

#[test]
fn what_keeps_it_from_starting_is_said() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let (code, why) = refused(&["--listen", &taken]);
    assert_eq!(code, Some(1));
    assert!(why.contains(&format!("cannot listen on {taken}: Address already in use")), "{why}");
    assert!(why.contains("or give another --listen"), "{why}");
    for (args, hint) in [
        (["--listen", "8080"], "IP:PORT"),
        (["--server", "http://localhost"], "HOST:PORT"),
        (["--allow-host", "http://a"], "without a port"),
        (["--allow-host", "*"], "without a port"),
    ] {
        let (code, why) = refused(&args);
        assert_eq!(code, Some(2), "{why}");
        assert!(why.contains(hint), "{why}");
    }
}

#[test]
fn it_takes_what_open_files_allow_and_says_nothing_else_on_stdout() {
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 110; exec \"$0\" --listen 127.0.0.1:0"]);
    limited.arg(env!("CARGO_BIN_EXE_todo-web")).stdin(Stdio::null());
    let web = WebProgram::start(limited);
    // 100 are kept for other things.
    let _idle: Vec<_> = (0..10).map(|_| Connection::open(web.address)).collect();
    let turned_away = Connection::open(web.address).rest();
    assert!(turned_away.starts_with("HTTP/1.1 503 "), "{turned_away}");
}

/// `todo web`, with what is in `path` as the only programs.
fn todo_web(url: &str, path: &Path, desktop: bool, args: &[&str]) -> Output {
    let mut todo = Command::new(env!("CARGO_BIN_EXE_todo"));
    todo.arg("web").args(args).env("TODO_WEB", url).env("PATH", path).stdin(Stdio::null());
    todo.env_remove("WAYLAND_DISPLAY").env_remove("DISPLAY");
    if desktop {
        todo.env("DISPLAY", ":0");
    }
    todo.output().unwrap()
}

#[test]
fn todo_web_opens_the_page_or_says_how_to_start_it() {
    let server = TestServer::start();
    let web = WebProgram::start(command(&["--listen", "127.0.0.1:0", "--server", &server.address]));
    let url = format!("http://{}", web.address);
    let dir = tempfile::tempdir().unwrap();
    let printed =
        |out: &Output| (out.status.code(), String::from_utf8(out.stdout.clone()).unwrap());

    // No browser, and no desktop: the address.
    assert_eq!(printed(&todo_web(&url, dir.path(), true, &[])), (Some(0), format!("{url}\n")));
    let json = todo_web("http://127.0.0.1:1", dir.path(), false, &["--json", "--url", &url]);
    assert_eq!(printed(&json), (Some(0), format!("{{\"url\": \"{url}\"}}\n")));

    let opened = dir.path().join("opened");
    let xdg_open = dir.path().join("xdg-open");
    fs::write(
        &xdg_open,
        format!("#!/bin/sh\nprintf %s \"$1\" >{0}.new && /bin/mv {0}.new {0}\n", opened.display()),
    )
    .unwrap();
    fs::set_permissions(&xdg_open, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(printed(&todo_web(&url, dir.path(), true, &[])).0, Some(0));
    until("it is opened", || opened.exists());
    assert_eq!(fs::read_to_string(&opened).unwrap(), url);
    fs::remove_file(&opened).unwrap();

    drop(web);
    let out = todo_web(&url, dir.path(), true, &[]);
    assert_eq!(printed(&out), (Some(6), String::new()));
    let why = String::from_utf8(out.stderr).unwrap();
    let how = format!("start it with `todo-web --listen {}`", url.trim_start_matches("http://"));
    assert!(why.contains("Connection refused") && why.contains(&how), "{why}");
    assert!(!opened.exists());
}

#[test]
fn the_readmes_examples_do_what_they_show() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    let web = WebProgram::start(command(&["--listen", "127.0.0.1:0", "--server", &daemon.address]));
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let mut examples = 0;
    let mut lines = readme.lines();
    while let Some(line) = lines.next() {
        let Some(curl) = line.strip_prefix("$ curl ") else { continue };
        let curl = curl.replace("127.0.0.1:8080", &web.address.to_string());
        let shown: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        // A stream has no end of its own.
        let run = format!("curl -sS --max-time 2 {curl}");
        let out = Command::new("sh").args(["-c", &run]).output().unwrap();
        let said = String::from_utf8(out.stdout).unwrap();
        let said: Vec<_> = said.trim_end().lines().map(timeless).collect();
        let shown: Vec<_> = shown.into_iter().map(timeless).collect();
        assert_eq!(said, shown, "{curl}");
        examples += 1;
    }
    assert_eq!(examples, 3, "of them there are so many");
    assert_eq!(get(web.address, "/").status, 200);
}

/// What differs from run to run: times, and the list's id.
fn timeless(line: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in line.split(' ') {
        let is_time = word.contains("20") && word.matches(':').count() >= 2;
        let is_random = word.split([':', '"', ',', '}']).any(|part| part.len() == 32);
        // An id may look like a time.
        words.push(match (is_random, is_time) {
            (true, _) => "ID".to_owned(),
            (false, true) => "TIME".to_owned(),
            (false, false) => word.to_owned(),
        });
    }
    words.join(" ")
}
