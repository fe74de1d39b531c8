use std::fmt;
use std::io::{self, BufWriter, Write};

use super::Exit;
use super::render::{self, Shown};
use crate::client::{CallError, proto};

/// Where data and messages go. Colour is dropped on the way to what is no terminal,
/// and where NO_COLOR is set.
pub struct Out {
    data: BufWriter<Box<dyn Write>>,
    messages: Box<dyn Write>,
    /// Whether data is JSON, one object a line.
    pub json: bool,
}

impl Out {
    pub fn standard(json: bool) -> Out {
        Out {
            data: BufWriter::new(Box::new(anstream::stdout())),
            messages: Box::new(anstream::stderr()),
            json,
        }
    }

    /// A line of data. Text from others goes through [`Shown`] first.
    pub fn line(&mut self, text: impl fmt::Display) -> io::Result<()> {
        writeln!(self.data, "{text}")
    }

    /// Text of our own that has its line ends.
    pub fn text(&mut self, text: impl fmt::Display) -> io::Result<()> {
        write!(self.data, "{text}")
    }

    /// A task: as JSON, or as the given line.
    pub fn task(&mut self, task: &proto::Task, line: impl fmt::Display) -> io::Result<()> {
        if self.json { self.line(render::json(task)) } else { self.line(line) }
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.data.flush()
    }

    /// A line for the person, on stderr.
    pub fn message(&mut self, text: &str) {
        // What was printed before shows before. If stdout is gone, its next line tells;
        // if stderr is gone, there is nobody to tell.
        let _ = self.data.flush();
        let _ = writeln!(self.messages, "todo: {}", Shown(text));
    }

    /// Text of our own for the person, with its line ends.
    pub fn notice(&mut self, text: impl fmt::Display) {
        let _ = self.data.flush();
        let _ = write!(self.messages, "{text}");
    }

    /// Says why a call failed; `about` starts the sentence.
    pub fn failed(&mut self, about: &str, error: &CallError) -> Exit {
        self.message(&format!("{about}{error}"));
        Exit::from(error.code)
    }

    /// The end of all output. A reader that took what it wanted and left is no failure.
    pub fn end(&mut self, done: io::Result<Exit>) -> Exit {
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
