//! `todo` as a command of the shell, and with piped commands.

#![allow(clippy::unwrap_used)]

mod commands;
mod controlled_server;
mod daemon;
#[path = "../example_server/mod.rs"]
mod example_server;
mod failures;
mod history;
mod restarts;
mod resume;
mod state_file;
mod streams;
mod wait;
mod wait_away;
mod watch;

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use expect_test::Expect;
use todo::client::Client;
use todo::server::Server;
use todo::state::Limits;
use todo::store::MemoryStore;

/// How long a test waits for what must come. It is not a measure of speed.
const DEADLINE: Duration = Duration::from_secs(60);

const PROGRAM: &str = env!("CARGO_BIN_EXE_todo");

fn server() -> (Server, String) {
    server_with("test-list")
}

fn server_with(list_id: &str) -> (Server, String) {
    server_of(list_id, 8)
}

fn server_with_tasks_max(tasks_max: u32) -> (Server, String) {
    server_of("test-list", tasks_max)
}

fn server_of(list_id: &str, tasks_max: u32) -> (Server, String) {
    let limits = Limits { tasks_max, ..Limits::default() };
    let store = Box::new(MemoryStore::new(list_id));
    let server = Server::start(store, limits, &["127.0.0.1:0".parse().unwrap()]).unwrap();
    let address = server.addresses()[0].to_string();
    (server, address)
}

fn client(address: &str) -> Client {
    Client::new(address, DEADLINE).unwrap()
}

/// `todo` without the variables of the environment that it reads. The timeout is not a
/// measure of speed. For `wait` it limits the wait; the calls keep their 5 s.
fn todo(address: &str, args: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["--server", address, "--timeout", "60s"]).args(args);
    command.env_remove("TODO_SERVER").env_remove("NO_COLOR").env("TZ", "UTC");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn with_input(mut command: Command, input: &[u8]) -> Output {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    thread::scope(|scope| {
        // Another thread writes: a pipe holds little, so the output must be read, too.
        scope.spawn(move || stdin.write_all(input).unwrap());
        child.wait_with_output().unwrap()
    })
}

/// Returns data, messages and exit code as text.
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

/// Runs each line as a command, split at white space, and compares what all print.
fn session(address: &str, lines: &[&str], expected: &Expect) {
    let mut printed = String::new();
    for line in lines {
        let args: Vec<&str> = line.split_whitespace().collect();
        let output = todo(address, &args).output().unwrap();
        printed += &format!(
            "$ todo {}\n{}",
            line.escape_debug(),
            seen(&output).replace(address, "SERVER")
        );
    }
    expected.assert_eq(&printed);
}
