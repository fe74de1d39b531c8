//! `todo` without a command, at a terminal: what somebody sees who types.

#![allow(clippy::unwrap_used)]

mod seed_server;

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use portable_pty::{Child, CommandBuilder, MasterPty, NativePtySystem, PtySize, PtySystem};
use seed_server::SeedServer;
use tempfile::TempDir;
use todo::client::{Client, Edit};
use todo::server::Server;
use todo::state::Limits;
use todo::store::MemoryStore;

/// How long a test waits for what must come. Not a measure of speed.
const DEADLINE: Duration = Duration::from_secs(60);

fn server_on(address: &str) -> (Server, String) {
    let limits = Limits { tasks_max: 1_000, queue_max: 1_000, watch_queue_max: 1_000 };
    let store = Box::new(MemoryStore::new("test-list"));
    let server = Server::start(store, limits, &[address.parse().unwrap()]).unwrap();
    let address = server.addresses()[0].to_string();
    (server, address)
}

fn server() -> (Server, String) {
    server_on("127.0.0.1:0")
}

fn client(address: &str) -> Client {
    Client::new(address, DEADLINE).unwrap()
}

/// A REPL in a terminal of its own.
struct Repl {
    child: Box<dyn Child + Send + Sync>,
    keyboard: Box<dyn Write + Send>,
    screen: Arc<Screen>,
    reader: JoinHandle<()>,
    prompt: String,
    /// The window is open as long as this is.
    _master: Box<dyn MasterPty + Send>,
    home: TempDir,
}

struct Screen {
    terminal: Mutex<Terminal>,
    changed: Condvar,
}

struct Terminal {
    parser: vt100::Parser,
    is_closed: bool,
}

impl Repl {
    fn start(address: &str) -> Repl {
        Repl::start_with(address, TempDir::new().unwrap(), &[])
    }

    fn start_with(address: &str, home: TempDir, env: &[(&str, &str)]) -> Repl {
        let size = PtySize { rows: 40, cols: 100, pixel_width: 0, pixel_height: 0 };
        let pair = NativePtySystem::default().openpty(size).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_todo"));
        command.args(["--server", address, "--timeout", "60s"]);
        for name in ["TODO_SERVER", "NO_COLOR", "CLICOLOR", "CI"] {
            command.env_remove(name);
        }
        command.env("TERM", "xterm-256color");
        command.env("XDG_STATE_HOME", home.path());
        env.iter().for_each(|(name, value)| command.env(name, value));
        let child = pair.slave.spawn_command(command).unwrap();
        let output = pair.master.try_clone_reader().unwrap();
        let parser = vt100::Parser::new(40.try_into().unwrap(), 100.try_into().unwrap(), 0);
        let terminal = Mutex::new(Terminal { parser, is_closed: false });
        let screen = Arc::new(Screen { terminal, changed: Condvar::new() });
        let shown = screen.clone();
        let repl = Repl {
            child,
            keyboard: pair.master.take_writer().unwrap(),
            screen,
            reader: thread::spawn(move || shown.show(output)),
            prompt: format!("todo {address}> "),
            _master: pair.master,
            home,
        };
        repl.prompt_is("");
        repl
    }

    fn keys(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
        self.keyboard.flush().unwrap();
    }

    /// Types a line and waits for the next, empty prompt.
    fn line(&mut self, line: &str) {
        self.keys(line);
        self.prompt_is(line);
        self.keys("\r");
        self.prompt_is("");
    }

    /// Waits until the screen, without the prompt's own text, contains `text`.
    fn sees(&self, text: &str) {
        self.screen.wait(text, |screen| contents(screen).contains(text));
    }

    /// Waits for the prompt and what was typed, hints apart.
    fn prompt_is(&self, typed: &str) {
        self.cursor_is_behind(&format!("{}{typed}", self.prompt));
    }

    /// Waits until the cursor is behind `line`.
    fn cursor_is_behind(&self, line: &str) {
        let columns = line.chars().count() as u16;
        self.screen.wait(line, |screen| {
            let (row, column) = screen.cursor_position();
            let text = screen.rows(0, columns).nth(row.into()).unwrap_or_default();
            column == columns && text.trim_end() == line.trim_end()
        });
    }

    fn screen(&self) -> String {
        contents(self.screen.terminal.lock().parser.screen())
    }

    /// Waits for the end. Gives back where its history is.
    fn ends(mut self) -> TempDir {
        self.screen.wait_for("the end", |terminal| terminal.is_closed);
        assert_eq!(self.child.wait().unwrap().exit_code(), 0, "{}", self.screen());
        self.reader.join().unwrap();
        self.home
    }
}

fn contents(screen: &vt100::Screen) -> String {
    screen.rows(0, 100).map(|row| row.trim_end().to_owned() + "\n").collect()
}

impl Screen {
    fn show(&self, mut output: Box<dyn Read + Send>) {
        let mut bytes = [0; 4096];
        // A terminal whose program has ended fails to read.
        while let Ok(read @ 1..) = output.read(&mut bytes) {
            self.terminal.lock().parser.process(&bytes[..read]);
            self.changed.notify_all();
        }
        self.terminal.lock().is_closed = true;
        self.changed.notify_all();
    }

    fn wait(&self, what: &str, is_there: impl Fn(&vt100::Screen) -> bool) {
        self.wait_for(what, |terminal| is_there(terminal.parser.screen()));
    }

    /// Waits a while; that it does not come is no failure.
    fn wait_at_most(&self, most: Duration, is_there: impl Fn(&vt100::Screen) -> bool) {
        let deadline = Instant::now() + most;
        let mut terminal = self.terminal.lock();
        while !is_there(terminal.parser.screen()) {
            if self.changed.wait_until(&mut terminal, deadline).timed_out() {
                return;
            }
        }
    }

    fn wait_for(&self, what: &str, is_there: impl Fn(&Terminal) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        let mut terminal = self.terminal.lock();
        while !is_there(&terminal) {
            let timed_out = self.changed.wait_until(&mut terminal, deadline).timed_out();
            let seen = contents(terminal.parser.screen());
            assert!(!timed_out, "waited for {what:?} and saw:\n{seen}");
        }
    }
}

#[test]
fn commands_work_as_in_the_shell() {
    let (_server, address) = server();
    let mut repl = Repl::start(&address);
    repl.sees("`help` lists the commands");
    repl.line("add Don't  \"forget\"");
    repl.sees("1 Don't  \"forget\"\n");
    repl.line("done x");
    repl.sees("invalid value 'x'");
    repl.line("done 99999999999");
    repl.line("done 7");
    repl.sees("todo: 7: Task not found\n");
    repl.line("add -");
    repl.sees("todo: `add -` reads titles from a pipe");
    repl.line("help");
    repl.sees("done ID...  ");
    repl.line("done 1");
    repl.sees("completed 1 Don't");
    assert!(!repl.screen().contains("[Update]"), "its own changes are not announced");
    repl.keys("exit\r");
    repl.ends();
}

#[test]
fn what_others_do_appears_above_a_line_being_typed() {
    let (_server, address) = server();
    let mut repl = Repl::start(&address);
    let other = client(&address);
    registered(&repl, &other);
    repl.keys("add half a li");
    repl.prompt_is("add half a li");
    let id = other.add("Buy milk").unwrap().id;
    repl.sees(&format!("[Update] Task {id}: ADDED\n  Title: Buy milk\n  Completed: False\n"));
    repl.prompt_is("add half a li");
    other.edit(id, Edit::Complete).unwrap();
    repl.sees(&format!("[Update] Task {id}: COMPLETED\n  Title: Buy milk\n  Completed: True\n"));
    repl.keys("ne\r");
    repl.prompt_is("");
    repl.sees(" half a line\n");
}

/// Waits until the REPL's watch is registered: it announces what `other` does.
fn registered(repl: &Repl, other: &Client) {
    let start = Instant::now();
    while !repl.screen().contains("[Update]") {
        assert!(start.elapsed() < DEADLINE);
        other.add("Are you there?").unwrap();
        repl.screen.wait_at_most(Duration::from_millis(200), |screen| {
            contents(screen).contains("[Update]")
        });
    }
}

#[test]
fn ctrl_c_clears_the_line_and_ctrl_d_leaves() {
    let (_server, address) = server();
    let mut repl = Repl::start(&address);
    repl.keys("add no");
    repl.prompt_is("add no");
    repl.keys(CTRL_C);
    repl.prompt_is("");
    repl.line("list");
    repl.sees("todo: no tasks\n");
    repl.keys(CTRL_D);
    repl.ends();
}

const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";

#[test]
fn ctrl_c_stops_a_command_not_the_session() {
    let (_server, address) = server();
    let mut repl = Repl::start(&address);
    repl.keys("watch\r");
    repl.sees(&format!("watching {address}\n"));
    client(&address).add("Buy milk").unwrap();
    repl.sees("1 ADDED 1 Buy milk\n");
    repl.keys(CTRL_C);
    repl.prompt_is("");
    assert!(!repl.screen().contains("[Update]"), "watch says it once:\n{}", repl.screen());
    repl.line("done 1");
    repl.sees("completed 1 Buy milk\n");
}

#[test]
fn ctrl_c_stops_a_call_that_waits() {
    let seed = SeedServer::start();
    let mut repl = Repl::start(&seed.address);
    repl.keys("add first\r");
    repl.sees("\n1 first\n");
    repl.prompt_is("");
    repl.keys("add silence\r");
    seed.silences.recv_timeout(DEADLINE).unwrap();
    repl.keys(CTRL_C);
    repl.sees("todo: interrupted before the answer came\n");
    repl.line("add second");
    repl.sees("\n2 second\n");
}

#[test]
fn what_is_typed_ahead_is_kept() {
    let (_server, address) = server();
    let mut repl = Repl::start(&address);
    repl.keys("1\rBuy milk\radd two\rlist\rdone 1\r");
    repl.sees("completed 1 Buy milk\n");
    repl.prompt_is("");
    repl.sees("Enter task title: Buy milk\nAdded task ID: 1\n");
    // Pasted at once: each line is a line.
    repl.keys("\x1b[200~add three\nadd four\x1b[201~\r");
    repl.sees("\n3 three\n4 four\n");
}

#[test]
fn ids_are_completed_with_those_that_fit() {
    let (_server, address) = server();
    let other = client(&address);
    for title in ["Buy milk", "Sweep", "Call mum"] {
        other.add(title).unwrap();
    }
    other.edit(2, Edit::Complete).unwrap();
    other.edit(3, Edit::Delete).unwrap();
    let mut repl = Repl::start(&address);
    registered(&repl, &other);
    repl.keys("reop\t");
    repl.prompt_is("reopen ");
    repl.sees("reopen ID...");
    repl.keys("\t");
    repl.prompt_is("reopen 2 ");
    repl.keys("\r");
    repl.sees("reopened 2 Sweep\n");
    repl.prompt_is("");
    repl.keys("restore \t");
    repl.prompt_is("restore 3 ");
    repl.keys("\r");
    repl.sees("restored 3 Call mum\n");
    repl.prompt_is("");
    repl.keys("done \t\t");
    repl.sees("1  Buy milk");
    repl.sees("2  Sweep");
    repl.prompt_is("done ");
    repl.keys("1");
    // The hint: the title, dimmed, not typed.
    repl.sees("> done 1  Buy milk\n");
    repl.prompt_is("done 1");
    repl.keys("\r");
    repl.sees("completed 1 Buy milk\n");
}

#[test]
fn one_to_four_are_the_seeds_menu() {
    let (_server, address) = server();
    let mut repl = Repl::start(&address);
    repl.keys("1\r");
    repl.cursor_is_behind("Enter task title: ");
    repl.keys("Buy milk\r");
    repl.sees("Enter task title: Buy milk\nAdded task ID: 1\n");
    repl.line("add Sweep");
    repl.keys("3\r");
    repl.cursor_is_behind("Enter task ID to complete: ");
    repl.keys("1\r");
    repl.sees("Enter task ID to complete: 1\nSuccess!\n");
    repl.line("2");
    repl.sees("\n\nTasks:\n✓ 1: Buy milk\n  2: Sweep\n");
    for (id, answer) in
        [("x", "todo: \"x\" is no task ID: use a number\n"), ("9", "todo: Task not found\n")]
    {
        repl.keys("3\r");
        repl.cursor_is_behind("Enter task ID to complete: ");
        repl.keys(&format!("{id}\r"));
        repl.sees(answer);
        repl.prompt_is("");
    }
    repl.keys("1\r");
    repl.cursor_is_behind("Enter task title: ");
    repl.keys(CTRL_C);
    repl.prompt_is("");
    repl.keys("4\r");
    repl.ends();
}

#[test]
fn the_servers_loss_and_return_are_announced() {
    let (server, address) = server();
    let mut repl = Repl::start(&address);
    registered(&repl, &client(&address));
    repl.keys("add half");
    repl.prompt_is("add half");
    server.shutdown().unwrap();
    repl.sees("[Offline] ");
    repl.prompt_is("add half");
    let (_server, _) = server_on(&address);
    repl.sees(&format!("[Online] connected to {address}\n"));
    repl.prompt_is("add half");
    repl.keys(" a line\r");
    repl.sees("\n1 half a line\n");
    repl.prompt_is("");
    repl.line("list");
    let before = repl.screen().matches("[Update]").count();
    let other = client(&address);
    other.add("Buy milk").unwrap();
    repl.screen.wait("the update", |screen| contents(screen).matches("[Update]").count() > before);
}

#[test]
fn a_session_starts_without_its_server_and_ends_at_once() {
    let (server, address) = server();
    server.shutdown().unwrap();
    let mut repl = Repl::start(&address);
    repl.sees(&format!("[Offline] cannot reach {address}: "));
    repl.line("list");
    repl.sees(&format!("todo: cannot reach {address}: "));
    let (server, _) = server_on(&address);
    repl.sees("[Online] ");
    repl.line("add x");
    repl.sees("\n1 x\n");
    server.shutdown().unwrap();
    let start = Instant::now();
    repl.keys(CTRL_D);
    repl.ends();
    // Far below any timeout or back-off of a server that is gone.
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn lines_are_remembered_for_their_owner() {
    let (_server, address) = server();
    let mut repl = Repl::start(&address);
    repl.line("add Buy milk");
    repl.keys(CTRL_D);
    let home = repl.ends();
    let file = home.path().join("todo").join("history");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let mut repl = Repl::start_with(&address, home, &[]);
    repl.keys("\x1b[A");
    repl.prompt_is("add Buy milk");
    repl.keys("\r");
    repl.sees("\n2 Buy milk\n");
}

#[test]
fn a_history_that_cannot_be_kept_is_said_once() {
    let (_server, address) = server();
    let home = TempDir::new().unwrap();
    std::fs::write(home.path().join("todo"), "no directory").unwrap();
    let mut repl = Repl::start_with(&address, home, &[]);
    repl.line("add Buy milk");
    repl.line("list");
    let screen = repl.screen();
    assert_eq!(screen.matches("todo: the history is not kept").count(), 1, "{screen}");
}

#[test]
fn no_color_leaves_nothing_to_mistake_for_typing() {
    let (_server, address) = server();
    client(&address).add("Buy milk").unwrap();
    let home = TempDir::new().unwrap();
    let mut repl = Repl::start_with(&address, home, &[("NO_COLOR", "1")]);
    repl.keys("done");
    repl.sees("> done\n");
    repl.keys(" 1\rlist\r");
    repl.sees("     1  completed  Buy milk\n");
    assert!(!is_styled(&repl));
    let mut coloured = Repl::start(&address);
    coloured.line("list");
    assert!(is_styled(&coloured));
}

fn is_styled(repl: &Repl) -> bool {
    let terminal = repl.screen.terminal.lock();
    let screen = terminal.parser.screen();
    (0..40)
        .flat_map(|row| (0..100).filter_map(move |column| screen.cell(row, column)))
        .any(|cell| cell.bold() || cell.dim() || cell.fgcolor() != vt100::Color::Default)
}

#[test]
fn hostile_titles_of_a_foreign_server_do_nothing_to_the_screen() {
    let seed = SeedServer::start();
    let repl = Repl::start(&seed.address);
    let other = client(&seed.address);
    registered(&repl, &other);
    other.add("\x1b[2Jgone\r\nover\u{202e}").unwrap();
    repl.sees("  Title: \\u{1b}[2Jgone\\u{d}\\u{a}over\\u{202e}\n  Completed: False\n");
    repl.prompt_is("");
}

#[test]
fn the_seeds_server_has_a_session_too() {
    let seed = SeedServer::start();
    let other = client(&seed.address);
    other.add("Buy milk").unwrap();
    let mut repl = Repl::start(&seed.address);
    registered(&repl, &other);
    repl.keys("done 1");
    repl.sees("> done 1  Buy milk\n");
    repl.keys("\r");
    repl.sees("completed 1 Buy milk\n");
    repl.line("show 1");
    repl.sees("does not offer GetTask: it needs todod\n");
}
