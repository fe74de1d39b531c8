use std::fmt;
use std::io::{self, BufWriter, Write};

use super::Exit;
use super::render::{self, Shown};
use crate::client::{CallError, proto};

/// Writes data to stdout and messages to stderr. Colour is removed if the stream is not a
/// terminal, and if NO_COLOR is set.
pub(crate) struct Out {
    data: BufWriter<Box<dyn Write>>,
    messages: Box<dyn Write>,
    /// Whether data is JSON, one object per line.
    pub(crate) json: bool,
    /// The revision of the last update that was printed; 0 before the first one.
    pub(crate) printed_revision: i64,
}

impl Out {
    pub(crate) fn standard(json: bool) -> Out {
        Out {
            data: BufWriter::new(Box::new(anstream::stdout())),
            messages: Box::new(anstream::stderr()),
            json,
            printed_revision: 0,
        }
    }

    /// Writes a line of data. Text from others must be wrapped in [`Shown`].
    pub(crate) fn line(&mut self, text: impl fmt::Display) -> io::Result<()> {
        writeln!(self.data, "{text}")
    }

    /// Writes text of this program, which contains its own line ends.
    pub(crate) fn text(&mut self, text: impl fmt::Display) -> io::Result<()> {
        write!(self.data, "{text}")
    }

    /// Writes a task: as JSON, or as the given line.
    pub(crate) fn task(&mut self, task: &proto::Task, line: impl fmt::Display) -> io::Result<()> {
        if self.json { self.line(render::json(task)) } else { self.line(line) }
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.data.flush()
    }

    /// Writes a message to stderr.
    pub(crate) fn message(&mut self, text: &str) {
        // Data that was written before appears before. A failure of stdout is reported by its
        // next write; a failure of stderr cannot be reported.
        let _ = self.data.flush();
        let _ = writeln!(self.messages, "todo: {}", Shown(text));
    }

    /// Writes text of this program to stderr, which contains its own line ends.
    pub(crate) fn notice(&mut self, text: impl fmt::Display) {
        let _ = self.data.flush();
        let _ = write!(self.messages, "{text}");
    }

    /// Reports why a call failed; `about` starts the message. Returns the exit code.
    pub(crate) fn failed(&mut self, about: &str, error: &CallError) -> Exit {
        self.message(&format!("{about}{error}"));
        Exit::from(error.code)
    }

    /// Ends all output. A reader that closed the pipe is not a failure.
    pub(crate) fn end(&mut self, done: io::Result<Exit>) -> Exit {
        match done.and_then(|exit| self.flush().map(|()| exit)) {
            Ok(exit) => exit,
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Exit::Ok,
            Err(e) => {
                self.message(&format!("cannot write the output: {e}"));
                Exit::Failure
            }
        }
    }
}
