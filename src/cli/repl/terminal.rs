use std::io::{self, ErrorKind};
use std::sync::Arc;

use parking_lot::Mutex;
use rustyline::error::ReadlineError;
use rustyline::history::{FileHistory, History};
use rustyline::{CompletionType, Config, Editor, Event, EventHandler};

use super::assist::Assist;
use super::cache::TaskCache;
use super::ctrl_c::CtrlC;
use super::history::HistoryFile;
use super::keys::{Keys, Search};
use super::line::{Line, parse};
use super::live::LiveUpdates;
use super::menu::{self, Choice};
use super::screen::{Screen, Use};
use super::{Done, execute};
use crate::cli::Exit;
use crate::cli::args::Command;
use crate::cli::commands::Session;
use crate::cli::output::Out;
use crate::cli::render::Shown;
use crate::client::{Client, Interrupt};
use crate::limits::{ESCAPE_TIMEOUT_MS, HISTORY_LINES_MAX};

/// Runs a session on a terminal.
pub(super) fn run(client: &Client, out: &mut Out) -> io::Result<Exit> {
    let interrupt = Interrupt::default();
    let calls = client.with_interrupt(&interrupt);
    let mut terminal = match Terminal::start(&calls, &interrupt, out) {
        Ok(terminal) => terminal,
        Err(e) => {
            out.message(&format!("cannot start a session: {e}"));
            return Ok(Exit::Failure);
        }
    };
    let interrupted = terminal.ctrl_c.interrupted();
    let mut session = Session { client: &calls, out, interrupted: &interrupted };
    let done = terminal.serve(&mut session);
    terminal.stop();
    done
}

/// The line editor, and the threads that serve it.
pub(super) struct Terminal {
    editor: Editor<Assist, FileHistory>,
    history: HistoryFile,
    prompt: String,
    screen: Screen,
    live: LiveUpdates,
    search: Arc<Mutex<Search>>,
    ctrl_c: CtrlC,
}

/// What was typed.
enum Typed {
    Text(String),
    /// Ctrl-C.
    Nothing,
    /// Ctrl-D.
    End,
}

impl Terminal {
    fn start(client: &Client, interrupt: &Interrupt, out: &mut Out) -> io::Result<Terminal> {
        let tasks = Arc::new(Mutex::new(TaskCache::default()));
        let search = Arc::new(Mutex::new(Search::default()));
        let assist = Assist::new(tasks.clone(), search.clone());
        let mut editor = editor(assist, Keys(search.clone())).map_err(io::Error::other)?;
        let history = HistoryFile::load(&mut editor, out);
        editor.history().iter().for_each(|line| search.lock().remember(line));
        let server = Shown(client.server()).to_string();
        out.line(format!(
            "todo {} on {server}: `help` lists the commands, 1 to 4 are a menu",
            env!("CARGO_PKG_VERSION")
        ))?;
        out.flush()?;
        let ctrl_c = CtrlC::start(interrupt)?;
        let screen = Screen::start(&mut editor)?;
        let live = LiveUpdates::start(client, screen.announcer(), tasks)?;
        let prompt = format!("todo {server}> ");
        Ok(Terminal { editor, history, prompt, screen, live, search, ctrl_c })
    }

    /// Runs lines until the user leaves.
    fn serve(&mut self, session: &mut Session<'_>) -> io::Result<Exit> {
        loop {
            let prompt = self.prompt.clone();
            let text = match self.read(&prompt, session.out) {
                Ok(Typed::Text(text)) => text,
                Ok(Typed::Nothing) => continue,
                Ok(Typed::End) => return Ok(Exit::Ok),
                Err(e) => {
                    session.out.message(&format!("cannot read the terminal: {e}"));
                    return Ok(Exit::Failure);
                }
            };
            self.remember(&text, session.out);
            // Pasted text may have several lines.
            for line in text.lines() {
                if !self.run_line(line, session)? {
                    return Ok(Exit::Ok);
                }
            }
        }
    }

    /// Returns whether the session continues.
    fn run_line(&mut self, line: &str, session: &mut Session<'_>) -> io::Result<bool> {
        self.ctrl_c.clear();
        match Choice::parse(line) {
            Some(Choice::Exit) => return Ok(false),
            Some(choice) => return menu::run(choice, self, session).map(|()| true),
            None => {}
        }
        let line = match parse(line) {
            Ok(None) => return Ok(true),
            Ok(Some(line)) => line,
            Err(not_run) => return not_run.explain(session.out).map(|_| true),
        };
        session.out.printed_revision = 0;
        if let Line::Command { command: Command::Watch(_), .. } = line {
            self.screen.set(Use::Watch);
        }
        let done = execute(&line, session)?;
        // The session's own watch may be behind the one of the command.
        self.screen.leave_out_up_to(session.out.printed_revision);
        self.screen.set(Use::Command);
        if let Done::Command(Exit::Interrupted) = done {
            // The terminal shows ^C on this line.
            session.out.notice("\n");
        }
        Ok(!matches!(done, Done::Leave))
    }

    /// Asks a question; `None` if the user gives no answer.
    pub(super) fn ask(&mut self, question: &str, out: &mut Out) -> Option<String> {
        self.set_asking(true);
        let typed = self.read(question, out);
        self.set_asking(false);
        match typed {
            Ok(Typed::Text(text)) => Some(text),
            Ok(Typed::Nothing | Typed::End) | Err(_) => None,
        }
    }

    fn set_asking(&mut self, is_asking: bool) {
        if let Some(assist) = self.editor.helper_mut() {
            assist.is_asking = is_asking;
        }
    }

    fn read(&mut self, prompt: &str, out: &mut Out) -> rustyline::Result<Typed> {
        let mut line = (String::new(), String::new());
        loop {
            self.screen.set(Use::Prompt);
            let read = self.editor.readline_with_initial(prompt, (&line.0, &line.1));
            self.screen.set(Use::Command);
            return match read {
                Ok(text) => Ok(Typed::Text(text)),
                Err(ReadlineError::Interrupted | ReadlineError::Signal(_)) => Ok(Typed::Nothing),
                Err(ReadlineError::Eof) => Ok(Typed::End),
                // rustyline drops a byte sequence that is not UTF-8, up to the byte that
                // showed it, and gives up the line.
                Err(ReadlineError::Io(e)) if e.kind() == ErrorKind::InvalidData => {
                    line = self.editor.helper().map(Assist::typed).unwrap_or_default();
                    out.message("ignored a key that is not UTF-8: set the terminal to UTF-8");
                    continue;
                }
                Err(e) => Err(e),
            };
        }
    }

    fn remember(&mut self, text: &str, out: &mut Out) {
        // It cannot fail in memory.
        if let Ok(true) = self.editor.history_mut().add(text) {
            self.search.lock().remember(text);
            self.history.append(&mut self.editor, out);
        }
    }

    fn stop(self) {
        // The editor first: the screen's thread may wait for it.
        drop(self.editor);
        self.live.stop();
        self.screen.close();
        self.ctrl_c.stop();
    }
}

fn editor(assist: Assist, keys: Keys) -> rustyline::Result<Editor<Assist, FileHistory>> {
    let config = Config::builder()
        .max_history_size(HISTORY_LINES_MAX)?
        .history_ignore_dups(true)?
        .history_ignore_space(true)
        // No announcement appears while rustyline waits for a second Tab, or for what may
        // follow Escape.
        .completion_type(CompletionType::List)
        .completion_show_all_if_ambiguous(true)
        .keyseq_timeout(Some(ESCAPE_TIMEOUT_MS))
        .build();
    let mut editor = Editor::with_config(config)?;
    editor.set_helper(Some(assist));
    editor.bind_sequence(Event::Any, EventHandler::Conditional(Box::new(keys)));
    Ok(editor)
}
