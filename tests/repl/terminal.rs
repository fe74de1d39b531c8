//! A REPL in a pseudo-terminal.

use std::io::{Read, Write};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use portable_pty::{Child, CommandBuilder, MasterPty, NativePtySystem, PtySize, PtySystem};
use tempfile::TempDir;

use crate::DEADLINE;

/// A REPL in a pseudo-terminal of its own.
pub struct Repl {
    child: Box<dyn Child + Send + Sync>,
    keyboard: Box<dyn Write + Send>,
    pub screen: Arc<Screen>,
    reader: JoinHandle<()>,
    prompt: String,
    /// Dropping it would close the terminal.
    _master: Box<dyn MasterPty + Send>,
    home: TempDir,
}

pub struct Screen {
    pub terminal: Mutex<Terminal>,
    changed: Condvar,
}

pub struct Terminal {
    pub parser: vt100::Parser,
    is_closed: bool,
}

impl Repl {
    pub fn start(address: &str) -> Repl {
        Repl::start_with(address, TempDir::new().unwrap(), &[])
    }

    pub fn start_with(address: &str, home: TempDir, env: &[(&str, &str)]) -> Repl {
        Repl::start_with_rows(address, home, env, 40)
    }

    pub fn start_with_rows(address: &str, home: TempDir, env: &[(&str, &str)], rows: u16) -> Repl {
        let size = PtySize { rows, cols: 100, pixel_width: 0, pixel_height: 0 };
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
        let parser = vt100::Parser::new(rows.try_into().unwrap(), 100.try_into().unwrap(), 0);
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

    pub fn keys(&mut self, keys: &str) {
        self.bytes(keys.as_bytes());
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.keyboard.write_all(bytes).unwrap();
        self.keyboard.flush().unwrap();
    }

    /// Types a line and waits for the next empty prompt.
    pub fn line(&mut self, line: &str) {
        self.keys(line);
        self.prompt_is(line);
        self.keys("\r");
        self.prompt_is("");
    }

    /// Waits until the screen contains `text`.
    pub fn sees(&self, text: &str) {
        self.screen.wait(text, |screen| contents(screen).contains(text));
    }

    /// Waits for the prompt with this input and the cursor behind it, before any hint.
    pub fn prompt_is(&self, typed: &str) {
        self.cursor_is_behind(&format!("{}{typed}", self.prompt));
    }

    /// Waits until the cursor is behind `line`.
    pub fn cursor_is_behind(&self, line: &str) {
        let columns = line.chars().count() as u16;
        self.screen.wait(line, |screen| {
            let (row, column) = screen.cursor_position();
            let text = screen.rows(0, columns).nth(row.into()).unwrap_or_default();
            column == columns && text.trim_end() == line.trim_end()
        });
    }

    pub fn screen(&self) -> String {
        contents(self.screen.terminal.lock().parser.screen())
    }

    /// Waits for the end. Returns the directory of the history.
    pub fn ends(mut self) -> TempDir {
        self.screen.wait_for("the end", |terminal| terminal.is_closed);
        assert_eq!(self.child.wait().unwrap().exit_code(), 0, "{}", self.screen());
        self.reader.join().unwrap();
        self.home
    }
}

pub fn contents(screen: &vt100::Screen) -> String {
    screen.rows(0, 100).map(|row| row.trim_end().to_owned() + "\n").collect()
}

impl Screen {
    fn show(&self, mut output: Box<dyn Read + Send>) {
        let mut bytes = [0; 4096];
        // Reading fails once the program has ended.
        while let Ok(read @ 1..) = output.read(&mut bytes) {
            self.terminal.lock().parser.process(&bytes[..read]);
            self.changed.notify_all();
        }
        self.terminal.lock().is_closed = true;
        self.changed.notify_all();
    }

    pub fn wait(&self, what: &str, is_there: impl Fn(&vt100::Screen) -> bool) {
        self.wait_for(what, |terminal| is_there(terminal.parser.screen()));
    }

    /// Waits for at most this time. Returns whether it came.
    pub fn wait_at_most(&self, most: Duration, is_there: impl Fn(&vt100::Screen) -> bool) -> bool {
        let deadline = Instant::now() + most;
        let mut terminal = self.terminal.lock();
        while !is_there(terminal.parser.screen()) {
            if self.changed.wait_until(&mut terminal, deadline).timed_out() {
                return false;
            }
        }
        true
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

pub const CTRL_C: &str = "\x03";

pub const CTRL_D: &str = "\x04";

pub const CTRL_G: &str = "\x07";

pub const CTRL_R: &str = "\x12";

pub fn is_styled(repl: &Repl) -> bool {
    let terminal = repl.screen.terminal.lock();
    let screen = terminal.parser.screen();
    (0..40)
        .flat_map(|row| (0..100).filter_map(move |column| screen.cell(row, column)))
        .any(|cell| cell.bold() || cell.dim() || cell.fgcolor() != vt100::Color::Default)
}
