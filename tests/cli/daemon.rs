//! `todod` as a program, which can be killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A `todod` on a socket in its data directory, where nobody else can come to listen
/// while it is away.
pub struct Daemon {
    child: Child,
    pub address: String,
}

impl Daemon {
    pub fn start(dir: &Path) -> Daemon {
        Daemon::start_at(dir, "todo.sock", &[])
    }

    /// On a socket of this name: on another one, the list can be changed where those who
    /// wait for the server do not see it.
    pub fn start_at(dir: &Path, socket: &str, args: &[&str]) -> Daemon {
        let address = format!("unix:{}", dir.join(socket).display());
        let mut child = Command::new(env!("CARGO_BIN_EXE_todod"))
            .args(["--listen", &address, "--data-dir"])
            .arg(dir)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, format!("listening on {address}\n"));
        Daemon { child, address }
    }

    /// As the power supply does it.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
