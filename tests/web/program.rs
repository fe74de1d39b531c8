//! `todo-web` as a program, `todo web`, and the examples of docs/http.md.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};
use std::{fs, iter};

use rustix::process::{Pid, Signal, kill_process};

use crate::daemon::Daemon;
use crate::harness::{TestServer, until};
use crate::http::{Connection, Events, get, post, post_with, request};

struct WebProgram {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// The first address that it prints.
    address: SocketAddr,
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_todo-web"));
    command.args(args).stdin(Stdio::null());
    for name in ["TODO_SERVER", "TODO_WEB_LISTEN", "TODO_WEB_ALLOW_HOST", "RUST_LOG"] {
        command.env_remove(name);
    }
    command
}

impl WebProgram {
    fn start(mut command: Command) -> WebProgram {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let address = next_address(&mut stdout).unwrap();
        WebProgram { child, stdout, address }
    }

    /// Ends it, and returns the other addresses that it printed.
    fn other_addresses(&mut self) -> Vec<SocketAddr> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        iter::from_fn(|| next_address(&mut self.stdout)).collect()
    }

    /// Ends it with a signal. Returns its exit code, and how long that took.
    fn end(mut self, signal: Signal) -> (Option<i32>, Duration) {
        let started = Instant::now();
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        (self.child.wait().unwrap().code(), started.elapsed())
    }
}

fn next_address(stdout: &mut impl BufRead) -> Option<SocketAddr> {
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let address = line.strip_suffix('\n')?.strip_prefix("listening on http://").expect(&line);
    Some(address.parse().expect(&line))
}

impl Drop for WebProgram {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn signals_shut_it_down_within_five_seconds() {
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
        assert_eq!(events.next(), None, "the stream ends with its last chunk");
    }
}

#[test]
fn options_and_environment_are_equal() {
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

/// No browser may use `http://0.0.0.0:8080`, which an earlier version printed: its Host header
/// is refused.
#[test]
fn every_printed_address_opens_the_page() {
    for (listen, loopback) in
        [("0.0.0.0:0", "127.0.0.1"), ("[::]:0", "[::1]"), ("[::ffff:0.0.0.0]:0", "127.0.0.1")]
    {
        if TcpListener::bind(format!("{loopback}:0")).is_err() {
            eprintln!("skipped {listen}: this machine has no {loopback}");
            continue;
        }
        let mut first = WebProgram::start(command(&["--listen", listen]));
        let port = first.address.port();
        assert_eq!(first.address.to_string(), format!("{loopback}:{port}"));
        // The program ends to end its output: another one answers for the same addresses.
        let mut addresses = vec![first.address];
        addresses.extend(first.other_addresses());
        drop(first);
        assert!(addresses.len() <= 2, "{addresses:?}");
        let second = WebProgram::start(command(&["--listen", listen]));
        for mut address in addresses {
            address.set_port(second.address.port());
            assert_eq!(get(address, "/").status, 200, "{address}");
            let origin = format!("http://{address}");
            let headers = [("Origin", &*origin)];
            let called = post_with(address, "Nothing", "{}", &headers);
            assert_eq!(called.error().0, 501, "{address} passes the access guard");
        }
        let host = [("Host", listen)];
        assert_eq!(request(second.address, "GET /", &host, "").status, 403);
    }
}

/// Logs and messages go to stderr, which may be full or closed.
#[test]
fn a_full_disk_behind_stderr_does_not_change_the_exit_code() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let status = command(&["--listen", &taken]).stderr(full).status().unwrap();
    assert_eq!(status.code(), Some(1), "{status}");
}

fn refused(args: &[&str]) -> (Option<i32>, String) {
    let out = command(args).output().unwrap();
    assert_eq!(String::from_utf8(out.stdout).unwrap(), "");
    (out.status.code(), String::from_utf8(out.stderr).unwrap())
}

#[test]
fn start_errors_say_what_to_do() {
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
fn connections_are_limited_by_open_files() {
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 110; exec \"$0\" --listen 127.0.0.1:0"]);
    limited.arg(env!("CARGO_BIN_EXE_todo-web")).stdin(Stdio::null());
    let web = WebProgram::start(limited);
    // It keeps 100 for other files.
    let _idle: Vec<_> = (0..10).map(|_| Connection::open(web.address)).collect();
    let turned_away = Connection::open(web.address).rest();
    assert!(turned_away.starts_with("HTTP/1.1 503 "), "{turned_away}");
}

/// Runs `todo web` where `path` holds the only programs.
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
fn todo_web_opens_the_page_or_advises_how_to_start_it() {
    let server = TestServer::start();
    let web = WebProgram::start(command(&["--listen", "127.0.0.1:0", "--server", &server.address]));
    let url = format!("http://{}", web.address);
    let dir = tempfile::tempdir().unwrap();
    let printed =
        |out: &Output| (out.status.code(), String::from_utf8(out.stdout.clone()).unwrap());

    // A desktop without a browser, and no desktop.
    assert_eq!(printed(&todo_web(&url, dir.path(), true, &[])), (Some(0), format!("{url}\n")));
    let json = todo_web("http://127.0.0.1:1", dir.path(), false, &["--json", "--url", &url]);
    assert_eq!(printed(&json), (Some(0), format!("{{\"url\":\"{url}\"}}\n")));

    let opened = dir.path().join("opened");
    let xdg_open = dir.path().join("xdg-open");
    fs::write(
        &xdg_open,
        format!("#!/bin/sh\nprintf %s \"$1\" >{0}.new && /bin/mv {0}.new {0}\n", opened.display()),
    )
    .unwrap();
    fs::set_permissions(&xdg_open, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(printed(&todo_web(&url, dir.path(), true, &[])).0, Some(0));
    until("the browser is started", || opened.exists());
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
fn the_examples_of_the_reference_work() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    let web = WebProgram::start(command(&["--listen", "127.0.0.1:0", "--server", &daemon.address]));
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/http.md");
    let reference = fs::read_to_string(reference).unwrap();
    let mut examples = 0;
    let mut lines = reference.lines();
    while let Some(line) = lines.next() {
        let Some(curl) = line.strip_prefix("$ curl ") else { continue };
        let curl = curl.replace("127.0.0.1:8080", &web.address.to_string());
        let shown: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        // A stream does not end by itself.
        let run = format!("curl -sS --max-time 2 {curl}");
        let out = Command::new("sh").args(["-c", &run]).output().unwrap();
        let output = String::from_utf8(out.stdout).unwrap();
        let output: Vec<_> =
            output.trim_end().lines().map(|line| timeless(line.trim_end())).collect();
        let shown: Vec<_> = shown.into_iter().map(timeless).collect();
        assert_eq!(output, shown, "{curl}");
        examples += 1;
    }
    assert_eq!(examples, 3, "the reference has more or fewer");
    assert_eq!(get(web.address, "/").status, 200);
}

/// Replaces what differs between runs: times, and the list's id.
fn timeless(line: &str) -> String {
    let mut parts: Vec<&str> = line.split('"').collect();
    for part in &mut parts {
        let is_time = part.starts_with("20") && part.ends_with('Z');
        // Checked first: an id may begin like a time.
        *part = match part.split(':').any(|word| word.trim().len() == 32) {
            true => "ID",
            false if is_time => "TIME",
            false => part,
        };
    }
    parts.join("\"")
}
