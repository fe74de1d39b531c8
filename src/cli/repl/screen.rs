use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::{Condvar, Mutex};
use rustyline::history::FileHistory;
use rustyline::{Editor, ExternalPrinter};

use super::assist::Assist;
use crate::limits::ANNOUNCEMENTS_MAX;

/// Prints announcements above the prompt, on a thread of its own: rustyline takes them
/// one at a time, and only while it reads a line.
pub struct Screen {
    thread: JoinHandle<()>,
    gate: Arc<Gate>,
    announcer: Announcer,
}

/// Hands announcements to the screen. Never blocks.
#[derive(Clone)]
pub struct Announcer {
    announcements: Sender<String>,
    gate: Arc<Gate>,
    /// Those that came while too many waited.
    missed: Arc<AtomicU64>,
}

/// What the terminal is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Somebody types: announcements appear above.
    Prompt,
    /// A command prints: announcements wait.
    Command,
    /// `watch` prints all that happens: announcements would say it twice.
    Watch,
    /// The session ends.
    Closed,
}

struct Gate {
    current: Mutex<Use>,
    changed: Condvar,
}

impl Screen {
    pub fn start(editor: &mut Editor<Assist, FileHistory>) -> io::Result<Screen> {
        let (announcements, waiting) = bounded(ANNOUNCEMENTS_MAX);
        let gate = Arc::new(Gate { current: Mutex::new(Use::Command), changed: Condvar::new() });
        let print = printer(editor);
        let opened = gate.clone();
        let thread = Builder::new()
            .name("repl-screen".to_owned())
            .spawn(move || print_all(&waiting, &opened, print))?;
        let announcer = Announcer { announcements, gate: gate.clone(), missed: Arc::default() };
        Ok(Screen { thread, gate, announcer })
    }

    pub fn announcer(&self) -> Announcer {
        self.announcer.clone()
    }

    pub fn set(&self, now: Use) {
        *self.gate.current.lock() = now;
        self.gate.changed.notify_all();
    }

    /// Ends the thread. The editor must be dropped before: a message that it has not
    /// taken would hold the thread.
    pub fn close(self) {
        self.set(Use::Closed);
        drop(self.announcer);
        // The thread does not panic.
        let _ = self.thread.join();
    }
}

impl Announcer {
    /// `text` is escaped and ends with a newline.
    pub fn announce(&self, text: String) {
        if *self.gate.current.lock() == Use::Watch {
            return;
        }
        let missed = self.missed.swap(0, Ordering::Relaxed);
        let text = match missed {
            0 => text,
            _ => format!("({missed} more announcements came too fast to show)\n{text}"),
        };
        if self.announcements.try_send(text).is_err() {
            self.missed.fetch_add(missed + 1, Ordering::Relaxed);
        }
    }
}

impl Gate {
    /// Waits for a prompt; `false` if there will be none.
    fn wait(&self) -> bool {
        let mut current = self.current.lock();
        self.changed.wait_while(&mut current, |now| !matches!(now, Use::Prompt | Use::Closed));
        *current == Use::Prompt
    }
}

type Print = Box<dyn FnMut(String) -> bool + Send>;

/// A terminal that cannot move its cursor gets the lines as they come.
fn printer(editor: &mut Editor<Assist, FileHistory>) -> Print {
    match editor.create_external_printer() {
        Ok(mut printer) => Box::new(move |text| printer.print(text).is_ok()),
        Err(_) => Box::new(|text| io::stdout().write_all(text.as_bytes()).is_ok()),
    }
}

fn print_all(waiting: &Receiver<String>, gate: &Gate, mut print: Print) {
    for text in waiting {
        if !gate.wait() || !print(text) {
            return;
        }
    }
}
