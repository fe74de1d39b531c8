//! `todod` as a process that can be killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A `todod` on a socket in its data directory. No other process can take that address
/// while it restarts.
pub struct Daemon {
    child: Child,
    pub address: String,
}

impl Daemon {
    pub fn start(dir: &Path) -> Daemon {
        Daemon::start_at(dir, "todo.sock", &[])
    }

    /// Starts on a socket of this name. On another socket, the list can be changed while the
    /// clients of the first one wait.
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

    /// Kills it as a power failure does.
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
