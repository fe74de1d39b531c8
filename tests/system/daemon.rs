//! `todod` as a program: its options, its output, its ends.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use todo::client::Code;
use todo::server::Server;
use todo::state::Limits;
use todo::store::MemoryStore;
use todo::wire::proto::Filter;

use crate::harness::{Calls, client, end_of, refusal, until, watch};

/// A running `todod`.
pub struct Daemon {
    child: Child,
    /// The first address it said it listens on.
    pub address: String,
    stdout: BufReader<std::process::ChildStdout>,
}

pub fn command(data_dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_todod"));
    command.arg("--data-dir").arg(data_dir).args(args).stdin(Stdio::null());
    command
}

impl Daemon {
    /// On a port of its own, unless `args` say where to listen.
    pub fn start(data_dir: &Path, args: &[&str]) -> Daemon {
        let mut command = command(data_dir, args);
        if !args.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        Daemon::spawn(command)
    }

    /// With so few files that may be open.
    pub fn with_open_files(data_dir: &Path, open_files: usize, args: &[&str]) -> Daemon {
        Daemon::with_limit(data_dir, &format!("-n {open_files}"), args)
    }

    /// With a limit of `ulimit`.
    pub fn with_limit(data_dir: &Path, limit: &str, args: &[&str]) -> Daemon {
        let limited = format!("ulimit {limit}; exec \"$0\" \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &limited, env!("CARGO_BIN_EXE_todod"), "--data-dir"]).arg(data_dir);
        command.args(["--listen", "127.0.0.1:0"]).args(args).stdin(Stdio::null());
        Daemon::spawn(command)
    }

    /// Without an option: on a port of its own, by the environment.
    fn with_environment(environment: &[(&str, &str)]) -> Daemon {
        let mut command = Command::new(env!("CARGO_BIN_EXE_todod"));
        command.env_remove("STATE_DIRECTORY").env("TODO_LISTEN", "127.0.0.1:0");
        command.envs(environment.iter().copied()).stdin(Stdio::null());
        Daemon::spawn(command)
    }

    fn spawn(mut command: Command) -> Daemon {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on ").expect("todod listens");
        Daemon { child, address: address.to_owned(), stdout }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub fn peak_memory_kib(&self) -> u64 {
        self.kib_of("VmHWM:")
    }

    pub fn resident_kib(&self) -> u64 {
        self.kib_of("VmRSS:")
    }

    fn kib_of(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(self.proc("status")).unwrap();
        let kib = status.lines().find_map(|l| l.strip_prefix(line)).unwrap();
        kib.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Connections and all else that is open.
    pub fn open_files(&self) -> usize {
        self.proc("fd").read_dir().unwrap().count()
    }

    /// What `/proc` says of it.
    pub fn proc(&self, entry: &str) -> PathBuf {
        Path::new("/proc").join(self.child.id().to_string()).join(entry)
    }

    /// As the power supply does it.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    pub fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a start that must fail says on stderr; its exit code is 1, its stdout empty.
pub fn refused(data_dir: &Path, args: &[&str]) -> String {
    let out = command(data_dir, args).env("RUST_LOG", "error").output().unwrap();
    assert_eq!((out.status.code(), out.stdout.len()), (Some(1), 0), "{out:?}");
    String::from_utf8(out.stderr).unwrap()
}

pub const ANY_PORT: [&str; 2] = ["--listen", "127.0.0.1:0"];

#[test]
fn it_says_where_it_listens_and_nothing_else_on_stdout() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("todo.sock");
    let unix = format!("unix:{}", socket.display());
    let args = ["--listen", "127.0.0.1:0", "--listen", &unix];
    let mut daemon = Daemon::start(&dir.path().join("data"), &args);
    assert!(daemon.address.starts_with("127.0.0.1:") && !daemon.address.ends_with(":0"));
    let mut line = String::new();
    daemon.stdout.read_line(&mut line).unwrap();
    assert_eq!(line, format!("listening on {unix}\n"));
    assert_eq!(socket.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    client(&daemon.address).add("by TCP").unwrap();
    assert_eq!(client(&unix).titles(), ["by TCP"]);

    let other = tempfile::tempdir().unwrap();
    let said = refused(other.path(), &["--listen", &unix]);
    assert!(said.contains("something answers there"), "{said}");
    assert_eq!(client(&unix).titles(), ["by TCP"], "the socket was not taken away");

    daemon.signal(Signal::TERM);
    let mut rest = String::new();
    daemon.stdout.read_to_string(&mut rest).unwrap();
    assert_eq!((daemon.wait().code(), &*rest), (Some(0), ""));
    assert!(!socket.exists(), "the socket is gone with it");
}

#[test]
fn a_socket_left_behind_is_taken_over_and_a_file_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("todo.sock");
    let unix = format!("unix:{}", socket.display());
    let daemon = Daemon::start(&dir.path().join("data"), &["--listen", &unix]);
    daemon.kill();
    daemon.wait();
    assert!(socket.exists());
    let daemon = Daemon::start(&dir.path().join("data"), &["--listen", &unix]);
    client(&unix).add("milk").unwrap();
    drop(daemon);

    let file = dir.path().join("file");
    std::fs::write(&file, "mine").unwrap();
    let said =
        refused(&dir.path().join("data"), &["--listen", &format!("unix:{}", file.display())]);
    assert!(said.contains("is not a socket"), "{said}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
}

/// While the old server ends, a new one may already have taken its place.
#[test]
fn a_socket_that_is_another_servers_by_now_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("todo.sock");
    let unix = format!("unix:{}", socket.display());
    let start = || {
        let listen = [unix.parse().unwrap()];
        Server::start(Box::new(MemoryStore::new("test-list")), Limits::default(), &listen).unwrap()
    };
    let old = start();
    client(&unix).add("milk").unwrap();
    std::fs::remove_file(&socket).unwrap();
    let new = start();
    old.shutdown().unwrap();
    client(&unix).add("bread").unwrap();
    assert_eq!(client(&unix).titles(), ["bread"]);
    new.shutdown().unwrap();
    let left: Vec<_> = dir.path().read_dir().unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn both_signals_end_it_in_order_within_five_seconds() {
    for signal in [Signal::TERM, Signal::INT] {
        let dir = tempfile::tempdir().unwrap();
        let daemon = Daemon::start(dir.path(), &[]);
        let client = client(&daemon.address);
        let (watch, _) = watch(&client, Filter::LIVE);
        client.add("milk").unwrap();
        let told = Instant::now();
        daemon.signal(signal);
        let why = end_of(&watch);
        assert_eq!(why.code, Code::Unavailable, "{why}");
        assert_eq!(daemon.wait().code(), Some(0));
        assert!(told.elapsed().as_secs() < 5, "promised: within 5 s");
        let left: Vec<_> = dir.path().read_dir().unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(!left.iter().any(|name| name.to_string_lossy().ends_with("-wal")), "{left:?}");
    }
}

#[test]
fn a_data_directory_in_use_names_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path(), &[]);
    let said = refused(dir.path(), &ANY_PORT);
    let pid = daemon.child.id();
    assert!(said.contains(&format!("in use by todod (process {pid})")), "{said}");
    client(&daemon.address).add("still served").unwrap();
}

#[test]
fn a_port_in_use_an_unusable_directory_and_a_broken_database_say_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = refused(dir.path(), &["--listen", &address]);
    assert!(said.contains(&address) && said.contains("give another --listen"), "{said}");

    let said = refused(dir.path(), &["--listen", "unix:/nonexistent/x"]);
    assert!(
        said.contains("; create the directory /nonexistent, or give another --listen"),
        "{said}"
    );

    let said = refused(Path::new("/proc/1/nowhere"), &ANY_PORT);
    assert!(said.contains("cannot use the data directory"), "{said}");

    let database = dir.path().join("todo.db");
    let text = "no database, but somebody's notes\n".repeat(100);
    std::fs::write(&database, &text).unwrap();
    let said = refused(dir.path(), &ANY_PORT);
    assert!(said.contains("is not a todo database: move it away"), "{said}");
    assert_eq!(std::fs::read_to_string(&database).unwrap(), text);
}

#[test]
fn usage_errors_exit_2_and_options_have_environment_equivalents() {
    let dir = tempfile::tempdir().unwrap();
    for args in [&["--listen", "nonsense"][..], &["--store", "paper"], &["--no-such-option"]] {
        let out = command(dir.path(), args).output().unwrap();
        assert_eq!(out.status.code(), Some(2), "{args:?}");
    }
    let in_memory = Daemon::with_environment(&[("TODO_STORE", "memory"), ("TODO_TASKS_MAX", "1")]);
    let client = client(&in_memory.address);
    client.add("one").unwrap();
    assert_eq!(refusal(client.add("two")).0, Code::ResourceExhausted);

    let data_dir = dir.path().to_str().unwrap();
    let _on_disk =
        Daemon::with_environment(&[("TODO_DATA_DIR", data_dir), ("TODO_QUEUE_MAX", "1")]);
    assert!(dir.path().join("todo.db").exists());
}

#[test]
fn without_a_service_its_default_is_the_xdg_data_directory() {
    let dir = tempfile::tempdir().unwrap();
    let _daemon = Daemon::with_environment(&[("XDG_DATA_HOME", dir.path().to_str().unwrap())]);
    assert!(dir.path().join("todo/todo.db").exists());
}

#[test]
fn contradicting_history_options_are_named_with_their_values() {
    let dir = tempfile::tempdir().unwrap();
    let out = command(dir.path(), &["--history-revisions-max", "5"]).output().unwrap();
    let said = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(2), "{said}");
    let start = "error: --history-revisions-max 5 is less than --history-revisions, which is ";
    assert!(said.starts_with(start), "{said}");
    assert!(said.contains(": raise the maximum, or lower --history-revisions, too\n"), "{said}");
}

/// A start with few open files warns only if more watches were asked for.
#[test]
fn few_open_files_are_a_warning_only_for_a_number_of_watches_that_was_given() {
    for (option, level) in [("--store=memory", "INFO"), ("--watchers-max=9000", "WARN")] {
        let dir = tempfile::tempdir().unwrap();
        let script = "ulimit -n 256; exec \"$0\" \"$@\"";
        let mut child = Command::new("sh")
            .args(["-c", script, env!("CARGO_BIN_EXE_todod"), "--listen=127.0.0.1:0", option])
            .arg("--data-dir")
            .arg(dir.path())
            .env_remove("TODO_WATCHERS_MAX")
            .env_remove("RUST_LOG")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        let log = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
        let line = log.lines().find(|line| line.contains("watches: at most ")).expect(&log);
        assert!(line.contains(level), "{line}");
    }
}

/// A bound that is too low or too high is a usage error that names the option, and
/// says that the environment is read.
#[test]
fn queues_and_tasks_have_bounds() {
    let dir = tempfile::tempdir().unwrap();
    for (option, variable, value, range) in [
        ("--queue-max", "TODO_QUEUE_MAX", "0", "1..=1000000"),
        ("--queue-max", "TODO_QUEUE_MAX", "1000001", "1..=1000000"),
        ("--tasks-max", "TODO_TASKS_MAX", "0", "1..="),
    ] {
        let given = command(dir.path(), &[option, value]).output().unwrap();
        let inherited = command(dir.path(), &[]).env(variable, value).output().unwrap();
        for out in [given, inherited] {
            let said = String::from_utf8(out.stderr).unwrap();
            assert_eq!(out.status.code(), Some(2), "{option} {value}: {said}");
            assert!(said.contains(option) && said.contains(range), "{said}");
        }
    }
}

#[test]
fn why_it_ends_is_said_even_if_the_log_is_silent_about_it() {
    let out = command(Path::new("/proc/1/nowhere"), &ANY_PORT)
        .env("RUST_LOG", "hyper=info")
        .output()
        .unwrap();
    let said = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(said.starts_with("todod: cannot use the data directory"), "{said}");
}

#[test]
fn an_ipv4_wildcard_takes_ipv6_and_the_help_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let help =
        String::from_utf8(command(dir.path(), &["--help"]).output().unwrap().stdout).unwrap();
    assert!(help.contains("0.0.0.0 takes IPv6, too"), "{help}");
    if TcpListener::bind("[::1]:0").is_ok() {
        let daemon = Daemon::start(dir.path(), &["--listen", "0.0.0.0:0"]);
        let port = daemon.address.strip_prefix("0.0.0.0:").unwrap();
        client(&format!("[::1]:{port}")).add("by IPv6").unwrap();
    }
}

#[test]
fn a_service_directory_is_its_default_and_open_files_are_raised_and_logged() {
    let dir = tempfile::tempdir().unwrap();
    let script = "ulimit -Sn 256; exec \"$0\" --listen 127.0.0.1:0";
    let mut child = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_todod")])
        .env("STATE_DIRECTORY", dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    until("the database is made", || dir.path().join("todo.db").exists());
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    let row = limits.lines().find(|row| row.starts_with("Max open files")).unwrap();
    let columns: Vec<_> = row.split_whitespace().collect();
    assert_eq!(columns[3], columns[4], "soft is hard: {row}");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let out = child.wait_with_output().unwrap();
    let log = String::from_utf8(out.stderr).unwrap();
    assert!(log.contains("open files: raised from 256 to "), "{log}");
}
