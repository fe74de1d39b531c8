use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use rustyline::error::ReadlineError;
use rustyline::history::{FileHistory, History};
use rustyline::{CompletionType, Config, Editor};

use super::assist::Assist;
use super::ctrl_c::CtrlC;
use super::history::HistoryFile;
use super::line::{Line, parse};
use super::live::Live;
use super::menu::{self, Choice};
use super::screen::{Screen, Use};
use super::tasks::KnownTasks;
use super::{Done, execute};
use crate::cli::Exit;
use crate::cli::args::Command;
use crate::cli::commands::Session;
use crate::cli::output::Out;
use crate::cli::render::Shown;
use crate::client::{Client, Interrupt};
use crate::limits::HISTORY_LINES_MAX;

/// A session at a terminal, to its end.
pub fn run(client: &Client, out: &mut Out) -> io::Result<Exit> {
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
pub struct Terminal {
    editor: Editor<Assist, FileHistory>,
    history: HistoryFile,
    prompt: String,
    screen: Screen,
    live: Live,
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
        let tasks = Arc::new(Mutex::new(KnownTasks::default()));
        let mut editor = editor(Assist::new(tasks.clone())).map_err(io::Error::other)?;
        let history = HistoryFile::load(&mut editor, out);
        let server = Shown(client.server()).to_string();
        out.line(format!(
            "todo {} on {server}: `help` lists the commands, 1 to 4 are the menu",
            env!("CARGO_PKG_VERSION")
        ))?;
        out.flush()?;
        let ctrl_c = CtrlC::start(interrupt)?;
        let screen = Screen::start(&mut editor)?;
        let live = Live::start(client, screen.announcer(), tasks)?;
        let prompt = format!("todo {server}> ");
        Ok(Terminal { editor, history, prompt, screen, live, ctrl_c })
    }

    /// Line by line, until the person leaves.
    fn serve(&mut self, session: &mut Session<'_>) -> io::Result<Exit> {
        loop {
            let prompt = self.prompt.clone();
            let text = match self.read(&prompt) {
                Ok(Typed::Text(text)) => text,
                Ok(Typed::Nothing) => continue,
                Ok(Typed::End) => return Ok(Exit::Ok),
                Err(e) => {
                    session.out.message(&format!("cannot read the terminal: {e}"));
                    return Ok(Exit::Failure);
                }
            };
            self.remember(&text, session.out);
            // What is pasted may have several lines.
            for line in text.lines() {
                if !self.run_line(line, session)? {
                    return Ok(Exit::Ok);
                }
            }
        }
    }

    /// Returns whether the session goes on.
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
        if let Line::Command { command: Command::Watch(_), .. } = line {
            self.screen.set(Use::Watch);
        }
        let done = execute(&line, session)?;
        self.screen.set(Use::Command);
        if let Done::Command(Exit::Interrupted) = done {
            // The terminal showed ^C.
            session.out.notice("\n");
        }
        Ok(!matches!(done, Done::Leave))
    }

    /// Asks for one answer; `None` if none was given.
    pub fn ask(&mut self, question: &str) -> Option<String> {
        self.set_asking(true);
        let typed = self.read(question);
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

    fn read(&mut self, prompt: &str) -> rustyline::Result<Typed> {
        self.screen.set(Use::Prompt);
        let typed = self.editor.readline(prompt);
        self.screen.set(Use::Command);
        match typed {
            Ok(text) => Ok(Typed::Text(text)),
            Err(ReadlineError::Interrupted | ReadlineError::Signal(_)) => Ok(Typed::Nothing),
            Err(ReadlineError::Eof) => Ok(Typed::End),
            Err(e) => Err(e),
        }
    }

    fn remember(&mut self, text: &str, out: &mut Out) {
        // In memory: cannot fail.
        if let Ok(true) = self.editor.history_mut().add(text) {
            self.history.append(&mut self.editor, out);
        }
    }

    fn stop(self) {
        // First the editor: the screen's thread may wait for it.
        drop(self.editor);
        self.live.stop();
        self.screen.close();
        self.ctrl_c.stop();
    }
}

fn editor(assist: Assist) -> rustyline::Result<Editor<Assist, FileHistory>> {
    let config = Config::builder()
        .max_history_size(HISTORY_LINES_MAX)?
        .history_ignore_dups(true)?
        .history_ignore_space(true)
        .completion_type(CompletionType::List)
        .build();
    let mut editor = Editor::with_config(config)?;
    editor.set_helper(Some(assist));
    Ok(editor)
}
