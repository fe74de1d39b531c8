use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::{Condvar, Mutex};
use rustyline::history::FileHistory;
use rustyline::{Editor, ExternalPrinter};

use super::assist::Assist;
use crate::limits::ANNOUNCEMENTS_MAX;

/// Prints announcements above the prompt, on a thread of its own: rustyline takes one at a
/// time, and only while it reads a line.
pub(super) struct Screen {
    thread: JoinHandle<()>,
    gate: Arc<Gate>,
    announcer: Announcer,
}

/// Queues announcements for the screen. Never blocks.
#[derive(Clone)]
pub(super) struct Announcer {
    announcements: Sender<String>,
    gate: Arc<Gate>,
    /// Announcements that were dropped because the queue was full.
    missed: Arc<AtomicU64>,
}

/// What the terminal is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// A line is typed: announcements appear above it.
    Prompt,
    /// A command runs: announcements wait.
    Command,
    /// `watch` prints every change: announcements are dropped.
    Watch,
    /// The session ends.
    Closed,
}

struct Gate {
    current: Mutex<Use>,
    changed: Condvar,
    /// `watch` has printed the changes up to this revision.
    printed_revision: AtomicI64,
}

impl Screen {
    pub(super) fn start(editor: &mut Editor<Assist, FileHistory>) -> io::Result<Screen> {
        let (announcements, waiting) = bounded(ANNOUNCEMENTS_MAX);
        let gate = Arc::new(Gate::new(Use::Command));
        let print = printer(editor);
        let opened = gate.clone();
        let thread = Builder::new()
            .name("repl-screen".to_owned())
            .spawn(move || print_all(&waiting, &opened, print))?;
        let announcer = Announcer { announcements, gate: gate.clone(), missed: Arc::default() };
        Ok(Screen { thread, gate, announcer })
    }

    pub(super) fn announcer(&self) -> Announcer {
        self.announcer.clone()
    }

    pub(super) fn set(&self, now: Use) {
        *self.gate.current.lock() = now;
        self.gate.changed.notify_all();
    }

    /// Changes up to this revision are not announced any more.
    pub(super) fn leave_out_up_to(&self, revision: i64) {
        self.gate.printed_revision.fetch_max(revision, Ordering::Relaxed);
    }

    /// Ends the thread. The editor must be dropped first: the thread may wait until the
    /// editor takes a message.
    pub(super) fn close(self) {
        self.set(Use::Closed);
        drop(self.announcer);
        // The thread does not panic.
        let _ = self.thread.join();
    }
}

impl Announcer {
    /// Queues the announcement of a change, unless `watch` has printed that change.
    pub(super) fn announce_change(&self, revision: i64, text: String) {
        // The gate's lock orders this after `leave_out_up_to`.
        let is_watched = *self.gate.current.lock() == Use::Watch;
        let printed = self.gate.printed_revision.load(Ordering::Relaxed);
        // The example's server has no revisions: all its changes have 0.
        if !is_watched && (revision == 0 || revision > printed) {
            self.announce(text);
        }
    }

    /// To be called when the server has another list: its revisions mean something else.
    pub(super) fn announce_all_again(&self) {
        self.gate.printed_revision.store(0, Ordering::Relaxed);
    }

    /// Queues `text`, which is escaped and ends with a newline.
    pub(super) fn announce(&self, text: String) {
        if *self.gate.current.lock() == Use::Watch {
            return;
        }
        let missed = self.missed.swap(0, Ordering::Relaxed);
        let text = match missed {
            0 => text,
            _ => format!("({missed} announcements were left out)\n{text}"),
        };
        if self.announcements.try_send(text).is_err() {
            self.missed.fetch_add(missed + 1, Ordering::Relaxed);
        }
    }
}

impl Gate {
    fn new(current: Use) -> Gate {
        let (current, changed) = (Mutex::new(current), Condvar::new());
        Gate { current, changed, printed_revision: AtomicI64::new(0) }
    }

    /// Waits for a prompt. Returns `false` if the session ends.
    fn wait(&self) -> bool {
        let mut current = self.current.lock();
        self.changed.wait_while(&mut current, |now| !matches!(now, Use::Prompt | Use::Closed));
        *current == Use::Prompt
    }
}

type Print = Box<dyn FnMut(String) -> bool + Send>;

/// Returns how to print. A terminal without cursor movement gets plain lines.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_watch_has_printed_is_not_announced() {
        let (announcements, waiting) = bounded(ANNOUNCEMENTS_MAX);
        let gate = Arc::new(Gate::new(Use::Watch));
        let thread = std::thread::spawn(|| {});
        let announcer = Announcer { announcements, gate: gate.clone(), missed: Arc::default() };
        let screen = Screen { thread, gate, announcer: announcer.clone() };
        announcer.announce_change(4, "during watch".to_owned());
        screen.leave_out_up_to(5);
        screen.set(Use::Command);
        announcer.announce_change(5, "printed by watch".to_owned());
        announcer.announce_change(6, "new".to_owned());
        announcer.announce_change(0, "of the example".to_owned());
        announcer.announce_all_again();
        announcer.announce_change(1, "of another list".to_owned());
        drop(announcer);
        screen.close();
        assert_eq!(
            waiting.iter().collect::<Vec<_>>(),
            ["new", "of the example", "of another list"]
        );
    }
}
